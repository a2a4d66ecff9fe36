"""Scaling a Workspace: nodes come and go, and the pods that serve are not touched for it."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from controller_runtime.errors import NotFound
from controller_runtime.resources import Object, name_of
from kaito_controller.workspace.act.actions import Create, Delete, Replace
from kaito_controller.workspace.conditions.status import scale_of
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.observe.scalers import Scalers, manager_of_replicas
from kaito_controller.workspace.state.records import Failure
from kaito_controller.workspace.state.snapshot import ApiRejection, MachinePhase, Snapshot
from test.support.snapshots import START, claim, machine, made_node, node, nodes, raw_workspace, snapshot


def scaled(replicas: int, **more: Any) -> Object:
    return raw_workspace(spec={"replicas": replicas}, **more)


def built(raw: Object, ordinals: range, **around: Any) -> dict[tuple[str, str], Object]:
    """What the controller makes of it once its nodes are there."""
    world = {"machines": tuple(map(machine, ordinals)), "nodes": nodes(*map(made_node, ordinals)), **around}
    return {(o["kind"], name_of(o)): deepcopy(o) for o in decide(snapshot(raw, **world)).desired}


def pod(on: str, *, ready: bool = True) -> Object:
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    return {"metadata": {"name": f"pod-{on}", "namespace": "default"}, "spec": {"nodeName": on}, "status": status}


def seen(raw: Object, existing: dict[tuple[str, str], Object], ordinals: range, **around: Any) -> Snapshot:
    world = {"machines": tuple(map(machine, ordinals)), "nodes": nodes(*map(made_node, ordinals)), **around}
    return snapshot(raw, existing=existing, **world)


def test_scaling_up_orders_nodes_and_leaves_the_workload_alone_until_they_are_there() -> None:
    existing = built(scaled(1), range(1))

    decision = decide(looked := seen(scaled(3), existing, range(1), pods=(pod("node-0"),)))

    orders = [action for action in plan(looked, decision) if isinstance(action, Create)]
    assert [order.kind for order in orders] == ["Machine", "Machine"]
    assert not [action for action in plan(looked, decision) if isinstance(action, Replace)]


def test_scaled_workload_differs_in_its_number_only() -> None:
    existing = built(scaled(1), range(1))

    (action,) = plan(looked := seen(scaled(3), existing, range(3)), decide(looked))

    assert isinstance(action, Replace)
    before, after = existing["Deployment", "phi"]["spec"], action.desired["spec"]
    assert (before["replicas"], after["replicas"]) == (1, 3)
    assert before["template"] == after["template"]


def test_pods_that_an_earlier_version_built_are_kept_when_the_number_changes() -> None:
    existing = built(scaled(1), range(1))
    old = existing["Deployment", "phi"]
    old["spec"]["template"]["spec"]["containers"][0]["image"] = "built/earlier:1"
    old["metadata"]["annotations"]["kaito.sh/template-hash"] = "of-an-earlier-version"

    (action,) = plan(looked := seen(scaled(2), existing, range(2)), decide(looked))

    assert isinstance(action, Replace)
    assert action.desired["spec"]["replicas"] == 2
    assert action.desired["spec"]["template"] == old["spec"]["template"]


def test_scaling_down_takes_replicas_first_and_then_the_node_that_nothing_runs_on() -> None:
    three = built(scaled(3), range(3))
    pods = tuple(pod(f"node-{n}") for n in range(3))
    (first,) = plan(looked := seen(scaled(2), three, range(3), pods=pods), decide(looked))
    assert isinstance(first, Replace)

    two = built(scaled(2), range(2))
    left = tuple(pod(f"node-{n}") for n in (1, 2))
    (second,) = plan(looked := seen(scaled(2), two, range(3), pods=left), decide(looked))

    assert isinstance(second, Delete)
    assert (second.kind, second.name) == ("Machine", machine(0).name)


def test_count_stays_the_least_number_and_what_is_one_whole_is_not_scaled() -> None:
    assert snapshot(scaled(1, count=2)).wanted.count == 2
    assert snapshot(scaled(5, count=2)).wanted.count == 5
    whole = {"name": "llama-2-13b-chat", "accessMode": "private", "presetOptions": {"image": "r.io/llama:1"}}
    assert snapshot(scaled(5, count=2, inference={"preset": whole})).wanted.count == 2


def test_lost_node_is_replaced_without_a_restart_of_the_other_replica() -> None:
    existing = built(scaled(2), range(2))
    again = seen(scaled(2), existing, range(2), machines=(machine(0), machine(1, 1)))

    assert plan(again, decide(again)) == ()


def test_pod_is_moved_by_name_where_a_preferred_node_stands_idle() -> None:
    existing = built(scaled(2), range(2))
    brought = node("own", claim=claim())
    world = {
        "nodes": nodes(made_node(0), made_node(1), brought),
        "pods": (pod("node-0"), pod("node-1")),
    }

    decision = decide(seen(scaled(2, preferred=("own",)), existing, range(2), **world))

    (workload,) = (obj for obj in decision.desired if obj["kind"] == "Deployment")
    required = workload["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    terms = required["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [term["matchFields"][0]["values"] for term in terms] == [["node-0"], ["own"]]


def test_what_serves_stays_when_the_nodes_for_more_cannot_be_had() -> None:
    existing = built(scaled(1), range(1))
    failed = {1: Failure(3, 3, "ws1", "QuotaExceeded", "no cores left", START)}

    decision = decide(looked := seen(scaled(2), existing, range(1), attempts=failed, pods=(pod("node-0"),)))

    assert decision.machines.reason.name == "MachineAttemptsExhausted"
    assert "The other nodes are kept for what runs on them." in decision.machines.message
    assert not [action for action in plan(looked, decision) if isinstance(action, Delete)]


@pytest.mark.parametrize(("failed", "promised"), [(2, True), (3, False)])
def test_a_next_attempt_is_promised_only_while_one_is_left(failed: int, *, promised: bool) -> None:
    record = {0: Failure(failed, failed, "ws1", "QuotaExceeded", "no cores left", START)}
    going = machine(0, phase=MachinePhase.DELETING, reason="QuotaExceeded", message="no cores left")

    told = decide(snapshot(raw_workspace(), attempts=record, machines=(going,))).machines

    assert told.reason.name == "MachineReplaced"
    assert f"(attempt {failed} of 3)" in told.message
    assert told.message.endswith(" to be removed before the next attempt.") is promised


@pytest.mark.parametrize(("reason", "said"), [("InvalidMachine", True), ("QuotaExceeded", False)])
def test_author_of_a_label_that_the_cloud_refuses_is_told_that_it_cannot_be_changed(reason: str, *, said: bool) -> None:
    record = {0: Failure(3, 3, "ws1", reason, "The label team=a b is no label", START)}

    told = decide(snapshot(raw_workspace(), attempts=record)).machines

    assert told.reason.name == "MachineAttemptsExhausted"
    assert ("resource.labelSelector, which cannot be changed" in told.message) is said


def test_node_is_not_paid_for_while_another_cannot_be_had_and_nothing_runs() -> None:
    failed = {1: Failure(3, 3, "ws1", "QuotaExceeded", "no cores left", START)}
    world = {"attempts": failed, "machines": (machine(0),), "nodes": nodes(made_node(0))}

    decision = decide(looked := snapshot(raw_workspace(count=2), **world))

    assert [action.name for action in plan(looked, decision) if isinstance(action, Delete)] == [machine(0).name]
    assert "No Machine is held now." in decision.machines.message
    gone = decide(snapshot(raw_workspace(count=2), attempts=failed))
    assert gone.assignment.order == ()
    period = timedelta(seconds=1801)
    again = decide(snapshot(raw_workspace(count=2), attempts=failed, after_s=period.total_seconds()))
    assert [order.ordinal for order in again.assignment.order] == [0, 1]


def test_status_counts_the_replicas_that_there_are() -> None:
    existing = built(scaled(3), range(3))
    existing["Deployment", "phi"]["status"] = {"replicas": 2}

    assert scale_of(seen(scaled(3), existing, range(3))) == {"replicas": 2, "selector": "kaito.sh/workspace=phi"}
    assert scale_of(snapshot(scaled(3)))["replicas"] == 0
    made = [existing["Deployment", "phi"]]
    assert scale_of(snapshot(scaled(3)), made)["replicas"] == made[0]["status"]["replicas"]
    refused = snapshot(scaled(3), rejection=ApiRejection("quota"))
    assert scale_of(refused, made)["replicas"] == 0
    existing["Deployment", "phi"]["status"] = {"conditions": [{"type": "ReplicaFailure", "status": "True"}]}
    assert scale_of(seen(scaled(3), existing, range(3)))["replicas"] == 0


def test_pending_machine_for_more_replicas_goes_at_once_when_they_are_not_wanted_any_more() -> None:
    existing = built(scaled(1), range(1))
    world = {"machines": (machine(0), machine(1, phase=MachinePhase.PENDING))}

    actions = plan(looked := seen(scaled(1), existing, range(1), pods=(pod("node-0"),), **world), decide(looked))

    assert [action.name for action in actions if isinstance(action, Delete)] == [machine(1).name]


class Reads:
    """Answers the one question that is asked."""

    def __init__(self, reply: Object | None) -> None:
        self.reply, self.asked = reply, 0

    def get(self, *_: object) -> Object:
        self.asked += 1
        if self.reply is None:
            raise NotFound("gone")
        return self.reply


def entry(manager: str, at: str, field: str = "f:replicas") -> Object:
    return {"manager": manager, "time": at, "fieldsV1": {"f:spec": {field: {}}}}


def deployment(replicas: int, generation: int = 1) -> Object:
    meta = {"name": "phi", "namespace": "default", "uid": "d", "generation": generation}
    return {"kind": "Deployment", "metadata": meta, "spec": {"replicas": replicas}}


def test_scaler_is_asked_for_once_for_each_change_and_not_where_the_numbers_agree() -> None:
    live = {"metadata": {"managedFields": [entry("kube-controller-manager", "2026-01-02T03:04:06Z")]}}
    scalers = Scalers(reads := Reads(live))  # type: ignore[arg-type]  # the part of a client that is used

    assert scalers.of(deployment(2), 2) == ""
    assert reads.asked == 0
    assert [scalers.of(deployment(5), 2) for _ in range(3)] == ["kube-controller-manager"] * 3
    assert reads.asked == 1
    scalers.of(deployment(6, generation=2), 2)
    assert reads.asked == 2


def test_unknown_scaler_is_no_error() -> None:
    assert Scalers(Reads(None)).of(deployment(5), 2) == ""  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("managed", "who"),
    [
        ([entry("kaito-controller", "2026-01-02T03:04:05Z"), entry("keda", "2026-01-02T03:04:06Z")], "keda"),
        ([entry("keda", "2026-01-02T03:04:06Z", "f:template")], ""),
        ([{"manager": 7}, "nonsense", {"fieldsV1": []}], ""),
        (None, ""),
    ],
)
def test_scaler_is_who_wrote_the_number_last(managed: Any, who: str) -> None:
    assert manager_of_replicas({"metadata": {"managedFields": managed}}) == who
