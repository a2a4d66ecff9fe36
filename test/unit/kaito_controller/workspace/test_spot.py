"""Spot nodes: which notice is one, what a loss costs, and what is ordered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from controller_runtime.resources import Object
from kaito_controller.api.capacity import CAPACITY_TYPE, CHOICES, capacity_types, check_capacity
from kaito_controller.nodeapi import APIS
from kaito_controller.workspace.act.actions import Create, Delete, Remember
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.nodes import assign
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.candidates import Candidate, Passed, candidate_of
from kaito_controller.workspace.state.eviction import NOTICES, SPOT_LABELS, notice_on
from kaito_controller.workspace.state.machines import Order, build_machine, read_machine
from kaito_controller.workspace.state.records import Failure, Record, write_record
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, MachineView, Snapshot
from test.support.snapshots import START, TYPE, UID, machine, made_node, nodes, raw_workspace, snapshot

NOTICE = "its condition VMEventScheduled announces a preemption"


def told_node(message: str = "", taint: str = "", label: tuple[str, str] = next(iter(SPOT_LABELS.items()))) -> Object:
    conditions = [{"type": "VMEventScheduled", "status": "True", "message": message}] if message else []
    taints = [{"key": taint, "effect": "NoSchedule"}] if taint else []
    return {"metadata": {"labels": dict([label])}, "spec": {"taints": taints}, "status": {"conditions": conditions}}


@pytest.mark.parametrize("label", SPOT_LABELS.items())
@pytest.mark.parametrize("taint", NOTICES)
def test_notice_is_read_in_the_words_of_each_cloud(taint: str, label: tuple[str, str]) -> None:
    assert taint in notice_on(told_node(taint=taint, label=label))
    assert notice_on(told_node(message="Preempt: soon", label=label)) == NOTICE


@pytest.mark.parametrize(
    "node",
    [
        told_node(),
        told_node(message="Freeze: 9 s"),
        told_node(taint="node.kubernetes.io/unschedulable"),
        told_node(message="Preempt: soon", label=("kubernetes.azure.com/scalesetpriority", "regular")),
        {"metadata": {"name": "bare"}},
        {
            "metadata": {"labels": {"karpenter.sh/capacity-type": "spot"}},
            "spec": {"taints": [5]},
            "status": {"conditions": 5},
        },
    ],
)
def test_other_nodes_have_no_notice(node: Object) -> None:
    assert notice_on(node) == ""


def test_notice_takes_the_node_away_at_once_and_leaves_the_count_of_failures_alone() -> None:
    before = {0: Failure(1, 2, "ws", "QuotaExceeded", "none left", START)}
    seen = snapshot(
        machines=(machine(0, 1, spot=True),), nodes=nodes(made_node(eviction=NOTICE)), attempts=before, after_s=60
    )

    decided = assign(seen, wants_nodes=True)

    assert decided.failures is not None
    entry = decided.failures[0]
    assert (entry.reason, entry.failed, entry.next_attempt) == ("SpotEvicted", 2, 2)
    assert decided.nodes == ()
    assert decided.order == ()


def test_what_is_on_record_is_removed_said_and_then_ordered_anew_without_a_pause() -> None:
    record = {0: Failure(1, 0, "ws", "SpotEvicted", f"spot node node-0 is taken back by its cloud: {NOTICE}", START)}
    seen = snapshot(machines=(machine(0, 0, spot=True),), nodes=nodes(made_node(eviction=NOTICE)), attempts=record)

    decided = assign(seen, wants_nodes=True)

    assert [m.name for m in decided.remove] == [machine().name]
    verdict = decide(seen).machines
    assert verdict.reason.name == "SpotNodeEvicted"
    assert f"Spot node node-0 is taken back by its cloud: {NOTICE}." in verdict.message
    assert assign(snapshot(attempts=record), wants_nodes=True).order == (Order(0, 1),)


GONE = MachinePhase.DELETING


@pytest.mark.parametrize(
    ("view", "reason", "failed"),
    [
        (machine(phase=GONE, spot=True, initialized=True), "SpotEvicted", 0),
        (machine(phase=GONE, spot=True, initialized=False, reason="QuotaExceeded"), "QuotaExceeded", 1),
        (machine(phase=GONE, initialized=True, reason="NodeDeleted"), "NodeDeleted", 1),
        (machine(phase=MachinePhase.FAILED, spot=True, initialized=True, reason="MachineTimedOut"), "SpotEvicted", 0),
    ],
)
def test_loss_of_a_spot_node_that_had_worked_is_an_eviction_and_nothing_else_is(
    view: MachineView, reason: str, failed: int
) -> None:
    failures = assign(snapshot(machines=(view,)), wants_nodes=True).failures

    assert failures is not None
    assert (failures[0].reason, failures[0].failed) == (reason, failed)


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
@pytest.mark.parametrize("choice", [None, *CHOICES])
def test_order_says_the_first_capacity_type_that_is_asked_for(api: object, choice: str | None) -> None:
    raw = raw_workspace()
    raw["metadata"]["annotations"] = {CAPACITY_TYPE: choice} if choice else {}

    order = build_machine(raw, Order(0, 0), snapshot(raw).wanted, api)  # type: ignore[arg-type]

    said = [r["values"] for r in order["spec"]["requirements"] if r["key"] == "karpenter.sh/capacity-type"]
    wanted = [[capacity_types({CAPACITY_TYPE: choice})[0]]] if choice else []
    assert said == wanted
    stored = {**order, "metadata": {**order["metadata"], "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}}
    view = read_machine(stored, now=START + timedelta(seconds=1), limits=Limits())
    assert view.spot is (wanted == [["spot"]])


@pytest.mark.parametrize(
    ("value", "labels", "told"),
    [
        ("spot", {}, ""),
        ("spot", {"karpenter.sh/capacity-type": "spot"}, ""),
        ("spot", {"karpenter.sh/capacity-type": "on-demand"}, "say different things"),
        ("spot-then-on-demand", {"karpenter.sh/capacity-type": "spot"}, "say different things"),
        ("SPOT", {}, "is not one of spot, on-demand, spot-then-on-demand"),
        ("", {}, "is not one of"),
    ],
)
def test_annotation_is_refused_in_words(value: str, labels: dict[str, str], told: str) -> None:
    found = [violation.message for violation in check_capacity({CAPACITY_TYPE: value}, labels)]

    assert len(found) == (1 if told else 0)
    assert told in "".join(found)


SPOT, ON_DEMAND = Candidate(TYPE, "spot"), Candidate(TYPE, "on-demand")


def spot_first(record: Record | None = None, *, count: int = 1) -> Object:
    raw = raw_workspace(count=count)
    raw["metadata"]["annotations"] = {CAPACITY_TYPE: "spot-then-on-demand"}
    return raw | ({"status": {"record": write_record(record, UID)}} if record is not None else {})


def serving(record: Record, *machines: MachineView, noticed: str = "node-0") -> Snapshot:
    told = [made_node(m.ordinal or 0, eviction=NOTICE if m.node_name == noticed else "") for m in machines]
    built = {("Deployment", "phi"): {"kind": "Deployment", "metadata": {"name": "phi"}}}
    raw = spot_first(record, count=len(machines))
    return snapshot(raw, machines=machines, nodes=nodes(*told), existing=built, after_s=60)


def test_eviction_passes_the_spot_candidate_over_and_the_next_node_is_on_demand() -> None:
    seen = serving(Record(), machine(spot=True, candidate=SPOT))

    (record,) = [a.record for a in plan(seen, decide(seen)) if isinstance(a, Remember)]

    assert [(e.candidate, e.reason, e.former) for e in record.passed] == [(SPOT, "SpotEvicted", False)]
    assert record.attempts[0].failed == 0
    later = snapshot(spot_first(record), after_s=120)
    assert capacity_ordered(later) == ["on-demand"]


def test_replica_that_is_evicted_beside_one_that_serves_is_replaced_on_demand() -> None:
    both = (machine(0, spot=True, candidate=SPOT), machine(1, spot=True, candidate=SPOT))
    seen = serving(Record(), *both)
    (record,) = [a.record for a in plan(seen, decide(seen)) if isinstance(a, Remember)]

    later = serving(record, machine(1, spot=True, candidate=SPOT), noticed="")

    assert later.wanted.candidate == ON_DEMAND
    assert later.type_in_use


@pytest.mark.parametrize("choice", ["spot", "spot-then-on-demand"])
def test_workspace_that_is_annotated_while_it_serves_keeps_its_node_and_grows_by_spot_nodes(choice: str) -> None:
    raw = raw_workspace(count=2)
    raw["metadata"]["annotations"] = {CAPACITY_TYPE: choice}
    built = {("Deployment", "phi"): {"kind": "Deployment", "metadata": {"name": "phi"}}}
    held = machine(candidate=Candidate(TYPE))

    seen = snapshot(raw, machines=(held,), nodes=nodes(made_node()), existing=built, after_s=60)

    assert capacity_ordered(seen) == ["spot"]
    assert [a for a in plan(seen, decide(seen)) if isinstance(a, Delete)] == []
    assert decide(seen).assignment.names == (held.node_name,)


def test_loss_of_the_node_on_demand_begins_with_spot_again() -> None:
    passed = (Passed(SPOT, "SpotEvicted", "gone", START),)
    record = Record({0: Failure(1, 0, "ws", "SpotEvicted", "gone", START)}, passed=passed)
    lost = machine(0, 1, GONE, initialized=True, reason="NodeDeleted", candidate=ON_DEMAND)
    seen = snapshot(spot_first(record), machines=(lost,), after_s=60)

    (after,) = [a.record for a in plan(seen, decide(seen)) if isinstance(a, Remember)]

    assert {entry.former for entry in after.passed} == {True}
    assert capacity_ordered(snapshot(spot_first(after), after_s=3600)) == ["spot"]


def capacity_ordered(seen: Snapshot) -> list[str]:
    found = [a.obj for a in plan(seen, decide(seen)) if isinstance(a, Create) and a.orders_node]
    return [candidate_of(obj).capacity_type for obj in found]
