"""Edits, upgrades and drift: which of them touch what runs."""

from __future__ import annotations

import dataclasses
from copy import deepcopy
from typing import Any

import pytest

from kaito_controller.workloads import (
    UpdateDecision,
    build_service,
    build_tuning_config_map,
    build_tuning_job,
    build_workload,
    compare,
    restart_reason,
    updated,
)
from kaito_controller.workloads.semantic_equality import contains, quantity
from test.unit.kaito_controller.workloads.cases import (
    CASES,
    QLORA,
    THREE_ADAPTERS,
    adapter,
    context,
    inference,
    pod_spec,
    tuning,
    workspace,
)


def served(**fields: Any) -> Any:
    return context(workspace(inference=inference("falcon-7b")), **fields)


def as_stored(obj: dict[str, Any]) -> dict[str, Any]:
    """The object as an API server gives it back: defaults added, bookkeeping in metadata."""
    live = deepcopy(obj)
    live["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": 1}
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    live["status"] = {}
    if "template" in live.get("spec", {}):
        spec = pod_spec(live)
        spec |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
        spec["containers"][0]["terminationMessagePath"] = "/dev/termination-log"
    return live


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_unchanged_object_is_kept(name: str) -> None:
    ctx = CASES[name]()
    for build in (build_workload, build_service):
        assert compare(as_stored(build(ctx)), build(ctx)) is UpdateDecision.KEEP


def test_a_missing_object_is_created() -> None:
    assert compare(None, build_workload(served())) is UpdateDecision.CREATE


@pytest.mark.parametrize(
    "edited",
    [
        workspace(inference=inference("falcon-7b", adapters=[adapter("style")])),
        workspace(inference=inference("falcon-7b"), resource={"count": 2}),
    ],
)
def test_what_a_user_changes_rolls_out(edited: Any) -> None:
    assert compare(as_stored(build_workload(served())), build_workload(context(edited))) is UpdateDecision.ROLL_OUT


def test_a_template_edit_rolls_out() -> None:
    def template(image: str) -> Any:
        pod = {"spec": {"containers": [{"name": "own", "image": image}]}}
        return build_workload(context(workspace(inference={"template": pod})))

    assert compare(as_stored(template("own:1")), template("own:2")) is UpdateDecision.ROLL_OUT


def test_a_replaced_node_rolls_out() -> None:
    live = as_stored(build_workload(served(node_names=("old",))))
    assert compare(live, build_workload(served(node_names=("new",)))) is UpdateDecision.ROLL_OUT


def test_the_order_of_nodes_means_nothing() -> None:
    subject = workspace(inference=inference("falcon-7b"), resource={"count": 2})
    live = as_stored(build_workload(context(subject, node_names=("a", "b"))))
    assert compare(live, build_workload(context(subject, node_names=("b", "a")))) is UpdateDecision.KEEP


def test_a_new_catalogue_or_registry_never_restarts_a_running_model() -> None:
    live = as_stored(build_workload(served()))
    newer = dataclasses.replace(served().required_preset, tag="9.9.9")
    assert compare(live, build_workload(served(preset=newer))) is UpdateDecision.HELD_BACK
    assert compare(live, build_workload(served(image_registry="mirror.example.com"))) is UpdateDecision.HELD_BACK


def test_an_edit_that_means_the_same_changes_nothing() -> None:
    spelled_out = workspace(inference={"preset": {"name": "falcon-7b", "accessMode": "public"}, "adapters": []})
    assert compare(as_stored(build_workload(served())), build_workload(context(spelled_out))) is UpdateDecision.KEEP


@pytest.mark.parametrize("part", ["replicas", "image", "args", "toleration", "token", "label"])
def test_a_foreign_change_is_repaired(part: str) -> None:
    live = as_stored(build_workload(served()))
    spec = pod_spec(live)
    if part == "replicas":
        live["spec"]["replicas"] = 0
    elif part == "image":
        spec["containers"][0]["image"] = "evil:1"
    elif part == "args":
        spec["containers"][0]["args"].append("--more")
    elif part == "toleration":
        spec["tolerations"].pop()
    elif part == "token":
        del spec["automountServiceAccountToken"]
    else:
        del live["metadata"]["labels"]["kaito.sh/workspace"]
    desired = build_workload(served())
    assert compare(live, desired) is UpdateDecision.REPAIR
    assert compare(as_stored(updated(live, desired)), desired) is UpdateDecision.KEEP


def test_an_object_without_our_hashes_is_brought_to_what_is_meant() -> None:
    live = as_stored(build_workload(served()))
    live["metadata"]["annotations"] = {}
    assert compare(live, build_workload(served())) is UpdateDecision.REPAIR


def test_a_changed_load_balancer_annotation_repairs_the_service_and_keeps_its_address() -> None:
    live = as_stored(build_service(served()))
    live["spec"] |= {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "sessionAffinity": "None"}
    opened = context(
        workspace(inference=inference("falcon-7b"), metadata={"annotations": {"kaito.sh/enablelb": "True"}})
    )
    desired = build_service(opened)
    assert compare(live, desired) is UpdateDecision.REPAIR
    written = updated(live, desired)
    assert written["spec"]["type"] == "LoadBalancer"
    assert written["spec"]["clusterIP"] == "10.0.0.7"
    assert written["metadata"]["resourceVersion"] == "7"
    assert "status" not in written


def test_node_ports_of_a_load_balancer_survive_an_update_and_go_with_it() -> None:
    opened = context(workspace(inference=inference(), metadata={"annotations": {"kaito.sh/enablelb": "True"}}))
    live = as_stored(build_service(opened))
    live["spec"]["healthCheckNodePort"] = 30999
    for port, number in zip(live["spec"]["ports"], (30080, 30500), strict=True):
        port["nodePort"] = number
    assert [port["nodePort"] for port in updated(live, build_service(opened))["spec"]["ports"]] == [30080, 30500]
    closed = updated(live, build_service(context(workspace(inference=inference()))))["spec"]
    assert all("nodePort" not in port for port in closed["ports"])
    assert "healthCheckNodePort" not in closed


def test_an_update_keeps_what_others_wrote_in_the_metadata() -> None:
    live = as_stored(build_workload(served()))
    live["metadata"]["labels"]["team"] = "search"
    written = updated(live, build_workload(served()))
    assert written["metadata"]["labels"]["team"] == "search"
    assert written["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"


def trained(**fields: Any) -> dict[str, Any]:
    return build_tuning_job(context(workspace(tuning=tuning()), **fields))


def edited(**changes: Any) -> dict[str, Any]:
    return build_tuning_job(context(workspace(tuning=tuning(**changes))))


RESTARTS = {
    "data": lambda: edited(data={"urls": ["https://x.example/other.csv"]}),
    "config": lambda: trained(tuning_config={**QLORA, "LoraConfig": {"r": 16}}),
    "method": lambda: edited(method="lora"),
    "output": lambda: edited(output={"image": "registry.example.com/adapter:2", "imagePushSecret": "push"}),
    "attempt": lambda: trained(attempt=1),
}


@pytest.mark.parametrize("change", sorted(RESTARTS))
@pytest.mark.parametrize("status", [{}, {"succeeded": 1}])
def test_what_training_depends_on_starts_it_again(change: str, status: dict[str, Any]) -> None:
    assert restart_reason({**trained(), "status": status}, RESTARTS[change]())


HARMLESS = {
    "preferred nodes": lambda: build_tuning_job(
        context(workspace(tuning=tuning(), resource={"preferredNodes": ["node-0"]}))
    ),
    "labels": lambda: build_tuning_job(
        context(workspace(tuning=tuning(), metadata={"labels": {"a": "b"}, "annotations": {"c": "d"}}))
    ),
    "name of the data": lambda: edited(data={"name": "renamed", "urls": tuning()["input"]["urls"]}),
    "spelling of the method": lambda: edited(method="QLoRA"),
    "name of an equal config": lambda: trained(tuning_config_map="a-copy"),
    "catalogue": lambda: trained(image_registry="mirror.example.com"),
    "node after success": lambda: trained(node_names=("other",)),
    "secret after success": lambda: edited(
        output={"image": "registry.example.com/adapter:0.0.1", "imagePushSecret": "new"}
    ),
}


@pytest.mark.parametrize("change", sorted(HARMLESS))
def test_what_training_does_not_depend_on_leaves_a_finished_run_alone(change: str) -> None:
    assert restart_reason({**trained(), "status": {"succeeded": 1}}, HARMLESS[change]()) is None


@pytest.mark.parametrize("change", sorted(set(HARMLESS) - {"node after success", "secret after success"}))
def test_what_training_does_not_depend_on_leaves_a_running_one_alone(change: str) -> None:
    assert restart_reason({**trained(), "status": {"active": 1}}, HARMLESS[change]()) is None


@pytest.mark.parametrize("change", ["node after success", "secret after success"])
def test_a_run_that_has_not_succeeded_is_started_again_on_a_new_node_or_with_a_new_secret(change: str) -> None:
    assert restart_reason({**trained(), "status": {"active": 1}}, HARMLESS[change]())


def test_a_failed_run_is_not_started_again_because_its_node_was_given_back() -> None:
    failed = {**trained(), "status": {"conditions": [{"type": "Failed", "status": "True"}]}}
    assert restart_reason(failed, HARMLESS["node after success"]()) is None
    assert restart_reason(failed, HARMLESS["secret after success"]())


def test_a_job_that_another_controller_made_is_not_run_again() -> None:
    foreign = trained()
    foreign["metadata"]["annotations"] = {}
    assert restart_reason(foreign, trained()) is None


def test_a_tampered_training_configuration_is_seen() -> None:
    ctx = context(workspace(tuning=tuning()))
    live = as_stored(build_tuning_config_map(ctx))
    live["data"]["training_config.yaml"] += "# more"
    assert compare(live, build_tuning_config_map(ctx)) is UpdateDecision.REPAIR


@pytest.mark.parametrize(
    ("live", "meant"),
    [
        ({"cpu": "1"}, {"cpu": "1000m"}),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}),
        ({"nvidia.com/gpu": "1"}, {"nvidia.com/gpu": 1}),
        ({"cpu": "1500m"}, {"cpu": 1.5}),
        ({"memory": "1k"}, {"memory": "1e3"}),
    ],
)
def test_quantities_are_compared_by_value(live: dict[str, str], meant: dict[str, Any]) -> None:
    assert contains({"requests": live}, {"requests": meant})
    assert not contains({"requests": live}, {"requests": dict.fromkeys(meant, "7")})


def test_values_that_the_api_server_drops_are_not_missed() -> None:
    assert contains({}, {"env": [], "labels": {}, "hostNetwork": False, "name": "", "other": None})
    assert not contains({}, {"enableServiceLinks": False})
    assert not contains({}, {"env": ["a"]})
    assert not contains({"env": ["a", "b"]}, {"env": ["a"]})
    assert not contains("text", {"a": 1})


def test_text_that_is_no_quantity_equals_only_itself() -> None:
    assert quantity("many") == "many"
    assert quantity("1Xi") == "1Xi"
    assert quantity(None) is None


@pytest.mark.parametrize("odd", ["1e999999999", "1e-999999999", "NaN", "sNaN", "Infinity", "9" * 5000 + "E"])
def test_quantity_beyond_what_can_be_computed_with_is_compared_and_raises_nothing(odd: str) -> None:
    assert contains({"requests": {"cpu": odd}}, {"requests": {"cpu": odd}})
    assert not contains({"requests": {"cpu": odd}}, {"requests": {"cpu": "1"}})


def test_adapters_of_a_running_model_can_be_taken_away_again() -> None:
    many = build_workload(context(workspace(inference=inference("falcon-7b", adapters=THREE_ADAPTERS))))
    assert compare(as_stored(many), build_workload(served())) is UpdateDecision.ROLL_OUT
    assert "initContainers" not in pod_spec(updated(as_stored(many), build_workload(served())))


def test_further_keys_are_tolerated_except_in_selectors() -> None:
    assert contains({"spec": {"meant": 1, "defaulted": 2}}, {"spec": {"meant": 1}})
    for selector in ("selector", "matchLabels", "nodeSelector"):
        assert contains({selector: {"a": "b"}}, {selector: {"a": "b"}})
        assert not contains({selector: {"a": "b", "c": "d"}}, {selector: {"a": "b"}})


@pytest.mark.parametrize("term", ["nodeAffinity", "podAntiAffinity"])
def test_affinity_that_a_template_leaves_null_counts_as_absent(term: str) -> None:
    spec = {"containers": [{"name": "own", "image": "own:1"}], "affinity": {term: None}}
    resource = {"count": 2}

    built = build_workload(context(workspace(inference={"template": {"spec": spec}}, resource=resource)))

    assert len(pod_spec(built)["affinity"]) == 2
