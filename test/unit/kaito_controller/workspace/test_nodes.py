"""Which nodes a Workspace takes, leaves alone, gives back and orders."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kaito_controller.workspace.act.actions import Remember
from kaito_controller.workspace.conditions.nodes_and_machines import machine_verdict
from kaito_controller.workspace.decide.attempts import is_lost
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.nodes import assign
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.machines import Order, build_machine
from kaito_controller.workspace.state.records import Failure, Record
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, MachineView, Snapshot, Wanted
from test.support.snapshots import START, claim, machine, made_node, node, nodes, raw_workspace, snapshot


def test_all_missing_machines_are_ordered_at_once() -> None:
    assert assign(snapshot(raw_workspace(count=3)), wants_nodes=True).order == (Order(0, 0), Order(1, 0), Order(2, 0))


def test_preferred_node_comes_before_ours_and_ours_before_free_ones() -> None:
    world = nodes(node("a-free"), node("b-ours", claim=claim()), node("c-preferred"))

    one = assign(snapshot(raw_workspace(preferred=("c-preferred",)), nodes=world), wants_nodes=True)
    two = assign(snapshot(raw_workspace(count=2, preferred=("c-preferred",)), nodes=world), wants_nodes=True)

    assert one.names == ("c-preferred",)
    assert two.names == ("b-ours", "c-preferred")
    assert [n.name for n in two.claim] == ["c-preferred"]


def test_node_of_a_machine_of_another_workspace_is_never_taken() -> None:
    world = nodes(node("theirs", owner="default/other"))

    decided = assign(snapshot(raw_workspace(preferred=("theirs",)), nodes=world), wants_nodes=True)

    assert decided.names == ()
    assert decided.order == (Order(0, 0),)


def test_cordoned_unready_or_differently_labelled_nodes_are_not_taken() -> None:
    world = nodes(
        node("cordoned", unschedulable=True),
        node("unready", ready=False),
        node("leaving", deleting=True),
        node("unlabelled", labels={"node.kubernetes.io/instance-type": "Standard_NC6s_v3"}),
    )

    assert assign(snapshot(nodes=world), wants_nodes=True).names == ()


def test_node_that_is_not_ready_any_more_is_told_in_the_words_of_its_kubelet() -> None:
    away = machine(0, 0, MachinePhase.DEGRADED, reason="NodeNotReady", message="Node status is NotReady")
    silent, told = (
        machine_verdict(world, assign(world, wants_nodes=True)).message
        for world in (
            snapshot(nodes=nodes(made_node(ready=False, message=said)), machines=(away,))
            for said in ("", "container runtime is down")
        )
    )

    assert "with node node-0 is no longer Ready: container runtime is down. Since " in told
    assert "with node node-0 is no longer Ready: NodeNotReady Node status is NotReady. Since " in silent


def test_without_a_machine_api_half_of_the_nodes_are_not_claimed() -> None:
    seen = snapshot(raw_workspace(count=2, preferred=("only",)), nodes=nodes(node("only")), machine_api=False)

    decided = assign(seen, wants_nodes=True)

    assert (decided.claim, decided.order, decided.short) == ((), (), 1)


def test_failed_machine_is_recorded_first_then_removed_and_only_then_replaced() -> None:
    failed = machine(phase=MachinePhase.FAILED, reason="InvalidMachine", initialized=False)
    first = assign(snapshot(machines=(failed,), after_s=60), wants_nodes=True)
    assert first.failures is not None
    assert (first.failures[0].next_attempt, first.failures[0].failed) == (1, 1)
    assert (first.remove, first.order) == ((), ())

    second = assign(snapshot(machines=(failed,), attempts=first.failures, after_s=61), wants_nodes=True)
    assert [m.name for m in second.remove] == [failed.name]
    assert second.order == ()

    third = assign(snapshot(attempts=first.failures, after_s=120), wants_nodes=True)
    assert third.order == (Order(0, 1),)


def test_attempts_pause_longer_each_time_and_end_at_the_limit() -> None:
    def record(failed: int) -> dict[int, Failure]:
        return {0: Failure(failed, failed, "ws0", "LaunchFailed", "no", START)}

    waits = [assign(snapshot(attempts=record(n), after_s=1), wants_nodes=True).blocked[0] for n in (1, 2, 3)]

    assert [wait.until - START for wait in waits] == [timedelta(seconds=s) for s in (30, 60, 1800)]
    assert [wait.exhausted for wait in waits] == [False, False, True]
    assert assign(snapshot(attempts=record(3), after_s=1801), wants_nodes=True).order == (Order(0, 3),)


def test_orders_carry_the_request_to_try_again_until_one_has_failed_since() -> None:
    """A provisioner that remembers what its cloud refused asks it for these, so that a request is not used up by old answers."""
    passed = {0: Failure(1, 0, "ws0", "QuotaExceeded", "no", START)}
    failed = {0: Failure(1, 1, "ws0", "LaunchFailed", "no", START)}

    orders = [
        assign(snapshot(attempts=record, request="0f0f", after_s=60), wants_nodes=True).order
        for record in ({}, passed, failed)
    ]

    assert orders == [(Order(0, 0, "0f0f"),), (Order(0, 1, "0f0f"),), (Order(0, 1),)]
    marks = build_machine(raw_workspace(), orders[0][0], Wanted(1, "Standard_NC6s_v3"))["metadata"]["annotations"]
    assert marks["kaito.sh/ask-again"] == "0f0f"


def test_surplus_machine_stays_while_its_node_is_busy() -> None:
    raw = raw_workspace(preferred=("mine",))
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "node-0"}, "status": {"phase": "Running"}}
    world = nodes(node("mine", claim=claim()), made_node(0))

    busy = assign(snapshot(raw, machines=(machine(),), nodes=world, pods=(pod,)), wants_nodes=True)
    idle = assign(snapshot(raw, machines=(machine(),), nodes=world), wants_nodes=True)

    assert busy.remove == ()
    assert [m.name for m in idle.remove] == [machine().name]


def test_everything_is_given_back_when_nothing_is_wanted() -> None:
    world = nodes(node("mine", claim=claim()), made_node(0))

    decided = assign(snapshot(machines=(machine(),), nodes=world), wants_nodes=False)

    assert [m.name for m in decided.remove] == [machine().name]
    assert [n.name for n in decided.release] == ["mine"]


def test_pending_machine_fills_its_place_so_that_no_second_one_is_ordered() -> None:
    pending = machine(phase=MachinePhase.PENDING)

    decided = assign(snapshot(machines=(pending,), nodes=nodes(node("free"))), wants_nodes=True)

    assert (decided.order, decided.claim) == ((), ())


def test_node_is_lost_only_after_a_full_limit_of_a_cache_that_could_be_trusted() -> None:
    gone = {"machines": (machine(0),), "absent_since": {machine(0).name: START}}
    late = 10_000.0
    back = START + timedelta(seconds=late - 60)

    assert is_lost(machine(0), snapshot(after_s=late, **gone))
    assert not is_lost(machine(0), snapshot(after_s=late, fresh={"Node": None}, **gone))
    assert not is_lost(machine(0), snapshot(after_s=late, fresh={"Node": back}, **gone))
    assert is_lost(machine(0), snapshot(after_s=late + 600, fresh={"Node": back}, **gone))


@pytest.mark.parametrize("kind", ["Node", "Machine"])
def test_what_is_missing_in_a_stale_cache_is_waited_for_and_nothing_is_ordered_or_removed(kind: str) -> None:
    seen = snapshot(machines=(machine(0),), absent_since={machine(0).name: START}, after_s=10_000.0, fresh={kind: None})

    decision = decide(seen)

    assert decision.overall.reason.name == "CacheStale"
    assert f"{kind}s may be out of date" in decision.overall.message
    assert not [a for a in plan(seen, decision) if type(a).__name__ in ("Delete", "Remember")]
    assert not decision.assignment.order


def failing(reason: str, message: str, phase: MachinePhase = MachinePhase.PENDING) -> MachineView:
    return machine(0, 0, phase, reason=reason, message=message)


def test_node_under_maintenance_is_named_and_waited_for_without_a_replacement() -> None:
    away = machine(0, 0, MachinePhase.DEGRADED, reason="PoolInMaintenance", message="agent pool ws1 is Upgrading")
    decision = decide(snapshot(machines=(away,), after_s=100_000.0))

    assert "agent pool ws1 is Upgrading" in decision.overall.message
    assert "not replaced, however long it takes" in decision.overall.message
    assert not decision.assignment.order


def remembered(seen: Snapshot) -> Record:
    return next(action.record for action in plan(seen, decide(seen)) if isinstance(action, Remember))


def test_cause_that_the_cloud_gave_stands_in_the_terminal_message_when_only_a_time_limit_ended_it() -> None:
    told = failing("LaunchFailed", "AllocationFailed: no capacity in eastus")
    sighted = remembered(snapshot(machines=(told,)))
    ended = failing("LaunchTimeout", "agent pool was still Failed after 900 s", MachinePhase.FAILED)

    failed = remembered(snapshot(machines=(ended,), attempts=sighted.attempts, stored=sighted))
    last = snapshot(attempts=failed.attempts, stored=failed, limits=Limits(machine_attempts=1), after_s=1)

    assert failed.attempts[0].failed == 1
    message = decide(last).overall.message
    assert "LaunchTimeout: agent pool was still Failed" in message
    assert "The last cause that was given: LaunchFailed: AllocationFailed: no capacity in eastus." in message


def test_cause_is_recorded_once_for_each_reason_and_never_for_what_a_healthy_machine_passes_through() -> None:
    sighted = remembered(snapshot(machines=(failing("QuotaExceeded", "0 of 6 cores, asked at 10:00"),)))
    again = snapshot(
        machines=(failing("QuotaExceeded", "0 of 6 cores, asked at 10:05"),), attempts=sighted.attempts, stored=sighted
    )

    assert not [action for action in plan(again, decide(again)) if isinstance(action, Remember)]
    healthy = snapshot(machines=(failing("LaunchInProgress", "is being created"),))
    assert not [action for action in plan(healthy, decide(healthy)) if isinstance(action, Remember)]


def test_cause_of_a_node_that_had_worked_is_not_that_of_its_launch() -> None:
    sighted = Record({0: Failure(0, 0, machine(0).name, "QuotaExceeded", "", START, cause="QuotaExceeded: 0 cores")})
    lost = machine(0, 0, MachinePhase.FAILED, reason="NodeUnhealthy", message="not Ready", initialized=True)

    assert remembered(snapshot(machines=(lost,), attempts=sighted.attempts, stored=sighted)).attempts[0].cause == ""
