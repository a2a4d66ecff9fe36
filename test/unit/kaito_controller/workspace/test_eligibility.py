"""Which nodes that nobody ordered a Workspace may take, and what is said about the others."""

from __future__ import annotations

from typing import Any

import pytest

from kaito_controller.api import reasons
from kaito_controller.workspace.conditions.nodes_and_machines import gpus_per_pod, machine_verdict, resource_verdict
from kaito_controller.workspace.decide.eligibility import obstacle
from kaito_controller.workspace.decide.nodes import assign
from kaito_controller.workspace.state.snapshot import ApiRejection, BroughtNodes, Claim, MachinePhase, Sizing
from test.support.snapshots import TYPE, machine, made_node, node, nodes, raw_workspace, snapshot

LABELS = {"node.kubernetes.io/instance-type": TYPE, "apps": "phi"}
DISTRIBUTED = {
    "inference": {
        "preset": {
            "name": "llama-2-13b-chat",
            "accessMode": "private",
            "presetOptions": {"image": "r.io/llama:1"},
        }
    }
}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"claim": Claim("default", "other", "u")}, "is held by Workspace other"),
        ({"owner": "default/other"}, "is held by Workspace other"),
        ({"owner": "secret-team/other"}, "is held by a Workspace of another namespace"),
        ({"deleting": True}, "is being deleted"),
        ({"unschedulable": True}, "is cordoned (kubectl uncordon n)"),
        ({"ready": False}, "is not Ready"),
        ({"labels": {**LABELS, "kubernetes.azure.com/mode": "system"}}, "is a system node"),
        (
            {"taints": ({"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"},)},
            "has the taint CriticalAddonsOnly=true",
        ),
        ({"taints": ({"key": "sku", "value": "gpu", "effect": "NoExecute"},)}, "has the taint sku=gpu:NoExecute"),
        ({"gpus": 0}, "has no GPU, and no label kaito.sh/allow-workspaces=true"),
        ({"labels": {"node.kubernetes.io/instance-type": TYPE}}, "lacks the labels apps=phi"),
    ],
)
def test_a_node_that_cannot_be_taken_says_why(fields: dict[str, Any], said: str) -> None:
    assert obstacle(node("n", **fields), snapshot()).startswith(said)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"gpus": 0, "is_gpu_type": True},
        {"gpus": 0, "labels": {**LABELS, "kaito.sh/allow-workspaces": "true"}},
        {
            "taints": (
                {"key": "sku", "value": "gpu", "effect": "NoSchedule"},
                {"key": "nvidia.com/gpu", "effect": "NoSchedule"},
            )
        },
        {"taints": ({"key": "anything", "effect": "PreferNoSchedule"},)},
    ],
)
def test_a_node_that_is_meant_for_this_can_be_taken(fields: dict[str, Any]) -> None:
    assert obstacle(node("n", **fields), snapshot()) == ""


def test_a_toleration_of_the_template_opens_no_node() -> None:
    spec = {"containers": [{"name": "a", "image": "r.io/a:1"}], "tolerations": [{"operator": "Exists"}]}
    world = snapshot(raw_workspace(inference={"template": {"spec": spec}}))
    tainted = node("n", taints=({"key": "CriticalAddonsOnly", "effect": "NoSchedule"},))

    assert obstacle(tainted, world) != ""


def test_settings_say_which_nodes_may_be_used_and_by_whom() -> None:
    offered = node("n", labels={**LABELS, "pool": "gpu"})
    only_pool = snapshot(brought_nodes=BroughtNodes({"pool": "gpu"}))
    only_others = snapshot(brought_nodes=BroughtNodes(namespaces=("team-a",)))

    assert obstacle(offered, only_pool) == ""
    assert "--brought-node-selector" in obstacle(node("n"), only_pool)
    assert "--brought-node-namespaces" in obstacle(offered, only_others)


def test_a_node_with_fewer_gpus_than_the_model_needs_is_left_alone_and_said_so() -> None:
    raw = raw_workspace(preferred=("small",), **DISTRIBUTED)
    raw["resource"]["instanceType"] = "Standard_NC48ads_A100_v4"
    world = snapshot(raw, nodes=nodes(node("small", gpus=1)))

    decided = assign(world, wants_nodes=True)

    assert decided.nodes == ()
    assert decided.passed_over == (
        "Preferred node small is not used: it has 1 of the 2 nvidia.com/gpu that the model needs on each node.",
    )


def test_what_is_ordered_instead_of_a_preferred_node_says_why() -> None:
    world = snapshot(raw_workspace(preferred=("absent", "cordoned")), nodes=nodes(node("cordoned", unschedulable=True)))

    message = machine_verdict(world, assign(world, wants_nodes=True)).message

    assert "Preferred node absent is not used: it does not exist." in message
    assert "Preferred node cordoned is not used: it is cordoned (kubectl uncordon cordoned)." in message


def test_matching_nodes_that_others_hold_are_named_when_nothing_can_be_ordered() -> None:
    taken = [node(f"n{i}", claim=Claim("default", "other", "u")) for i in range(5)]
    world = snapshot(nodes=nodes(*taken), machine_api=False)

    message = machine_verdict(world, assign(world, wants_nodes=True)).message

    assert "Node n0 matches and is not used: it is held by Workspace other." in message


def test_each_node_that_is_passed_over_has_its_own_reason_up_to_ten() -> None:
    names = [f"n{i:02}" for i in range(12)]
    world = snapshot(
        raw_workspace(preferred=tuple(names)),
        nodes=nodes(node("n03", unschedulable=True), node("n04", ready=False)),
    )

    told = assign(world, wants_nodes=True).passed_over

    assert told[:3] == tuple(f"Preferred node {name} is not used: it does not exist." for name in names[:3])
    assert told[3:] == (
        "Not used either: n03 is cordoned (kubectl uncordon n03); n04 is not Ready; n05 does not exist; n06 does not exist; "
        "n07 does not exist; n08 does not exist; n09 does not exist; and 2 more.",
    )


def test_held_nodes_are_named_when_the_crd_went_while_the_controller_runs() -> None:
    taken = node("n0", claim=Claim("default", "other", "u"))
    gone = ApiRejection("The CRD is not installed any more.", machine=True, reason=reasons.MACHINE_API_MISSING)
    world = snapshot(nodes=nodes(taken), rejection=gone)

    told = machine_verdict(world, assign(world, wants_nodes=True))

    assert told.reason is reasons.MACHINE_API_MISSING
    assert told.message == (
        "The CRD is not installed any more. Node n0 matches and is not used: it is held by Workspace other."
    )


def test_nothing_is_said_of_others_nodes_once_nothing_is_missing() -> None:
    world = snapshot(nodes=nodes(node("mine"), node("theirs", owner="default/other")))

    assert assign(world, wants_nodes=True).passed_over == ()


def test_letter_case_of_a_nodes_instance_type_does_not_matter() -> None:
    brought = node("n", labels={**LABELS, "node.kubernetes.io/instance-type": TYPE.lower()})

    assert [n.name for n in assign(snapshot(nodes=nodes(brought)), wants_nodes=True).nodes] == ["n"]


def test_a_type_in_another_letter_case_is_ordered_as_the_cloud_writes_it() -> None:
    raw = raw_workspace()
    raw["resource"]["instanceType"] = TYPE.upper()

    assert snapshot(raw).wanted.instance_type == TYPE


BIG = {"inference": {"preset": {"name": "falcon-40b"}}}
SMALL_TYPE = Sizing(misfit="Standard_NC6s_v3 has 1 V100 GPU of 16Gi; inference of falcon-40b needs more")


def of_default_type(**parts: Any) -> Any:
    """What the API server stores for an author who names no type."""
    raw = raw_workspace(**parts)
    raw["resource"]["instanceType"] = "Standard_NC12s_v3"
    return raw


def test_a_labelled_node_that_holds_the_model_is_used_although_the_default_type_does_not() -> None:
    labels = {**LABELS, "node.kubernetes.io/instance-type": "Standard_NC96ads_A100_v4"}
    world = snapshot(of_default_type(**BIG), nodes=nodes(node("a100", gpus=4, labels=labels, sizing=Sizing(gpus=2))))

    decided = assign(world, wants_nodes=True)

    assert world.preflight is None
    assert [n.name for n in decided.nodes] == ["a100"]
    assert gpus_per_pod(world, decided) == 2


def test_no_machine_of_the_default_type_is_ordered_for_a_model_that_it_does_not_hold() -> None:
    world = snapshot(of_default_type(preferred=("small",), **BIG), nodes=nodes(node("small", sizing=SMALL_TYPE)))

    decided = assign(world, wants_nodes=True)
    told = machine_verdict(world, decided)

    assert decided.order == ()
    assert told.reason is reasons.MODEL_DOES_NOT_FIT
    assert "Standard_NC12s_v3 (the default)" in told.message
    assert f"Preferred node small is not used: it does not hold the model: {SMALL_TYPE.misfit}." in told.message


def template(*gpus: object, before: object = 0) -> dict[str, Any]:
    """A pod whose containers ask for so many GPUs, after one that asks for `before`."""
    main, first = (
        [{"name": f"c{i}", "resources": {"limits": {"nvidia.com/gpu": n}}} for i, n in enumerate(found)]
        for found in (gpus, (before,))
    )
    return {"inference": {"template": {"spec": {"containers": main, "initContainers": first}}}}


@pytest.mark.parametrize("asks", [template("2"), template(1, "1"), template(1, before=2)])
def test_no_node_is_ordered_that_is_too_small_for_the_pod_template(asks: dict[str, Any]) -> None:
    raw = raw_workspace(**asks)
    raw["resource"]["instanceType"] = "Standard_NC24ads_A100_v4"
    world = snapshot(raw)

    decided = assign(world, wants_nodes=True)
    told = machine_verdict(world, decided)

    assert decided.order == ()
    assert told.reason is reasons.MODEL_DOES_NOT_FIT
    assert (
        "the pod template asks for 2 nvidia.com/gpu, and Standard_NC24ads_A100_v4 has 1; use an instance type with 2 or more."
        in told.message
    )


@pytest.mark.parametrize("asks", [template("2"), template(None), template(0), template("x", "1")])
def test_a_pod_template_that_fits_its_type_is_ordered_for(asks: dict[str, Any]) -> None:
    raw = raw_workspace(**asks)
    raw["resource"]["instanceType"] = "Standard_NC48ads_A100_v4"

    assert len(assign(snapshot(raw), wants_nodes=True).order) == 1


def test_a_node_that_exists_is_left_to_the_scheduler_whatever_the_template_asks_for() -> None:
    brought = node("big", gpus=4)
    world = snapshot(raw_workspace(preferred=("big",), **template("4")), nodes=nodes(brought))

    assert [n.name for n in assign(world, wants_nodes=True).nodes] == ["big"]


def test_a_type_that_the_author_named_is_held_against_them() -> None:
    world = snapshot(raw_workspace(**BIG))

    assert world.preflight is not None
    assert world.preflight.reason is reasons.MODEL_DOES_NOT_FIT


def test_a_wrong_number_of_nodes_is_no_matter_of_the_type() -> None:
    raw = of_default_type(count=3, **DISTRIBUTED)

    assert snapshot(raw).preflight is not None


def test_a_healthy_node_with_too_few_gpus_is_not_sent_to_its_driver() -> None:
    raw = raw_workspace(**DISTRIBUTED)
    raw["resource"]["instanceType"] = "Standard_NC48ads_A100_v4"
    made = made_node(gpus=1, type_gpus=1)
    world = snapshot(raw, nodes=nodes(made), machines=(machine(),))

    told = resource_verdict(world, (decided := assign(world, wants_nodes=True)), machine_verdict(world, decided))

    assert told.reason is reasons.GPU_MISSING
    assert f"{TYPE} has no more, so driver and device plugin are in order" in told.message
    assert "kubectl describe node" not in told.message


def test_a_type_that_nobody_knows_is_told_with_the_nearest_one_when_the_cloud_refuses_it() -> None:
    raw = raw_workspace()
    raw["resource"]["instanceType"] = "Standard_NC24ads_A100_v3"
    refused = machine(
        phase=MachinePhase.PENDING, reason="InstanceTypeNotOffered", message="The VM size is not available."
    )
    world = snapshot(raw, machines=(refused,))

    told = machine_verdict(world, assign(world, wants_nodes=True)).message

    assert (
        "Standard_NC24ads_A100_v3 is in no list; the nearest known instance type is Standard_NC24ads_A100_v4." in told
    )
