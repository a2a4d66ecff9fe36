"""Several instance types in order: which one is ordered, when the next one is tried, what is remembered and said of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller_runtime.resources import Object
from kaito_controller.api import reasons
from kaito_controller.catalog.offer import FamilyQuota, InstanceOffer, OfferedType
from kaito_controller.workspace.act.actions import Create, Delete, Remember
from kaito_controller.workspace.conditions.status import type_of
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.candidates import Candidate, Passed, candidate_of, with_passed
from kaito_controller.workspace.state.records import Record, read_record, write_record
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, Snapshot
from test.support.snapshots import START, UID, machine, node, nodes, raw_workspace, snapshot

A10, A100, H100 = "Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5"
TYPES = (A10, A100, H100)
QUOTA, CAPACITY, DENIED, GONE = "QuotaExceeded", "InsufficientCapacity", "CloudAccessDenied", "DeletedBeforeLaunch"


def workspace(record: Record | None = None, *, count: int = 1, types: tuple[str, ...] = TYPES) -> Object:
    raw = raw_workspace(count=count, types=types, inference={"preset": {"name": "phi-3-mini-4k-instruct"}})
    return raw | ({"status": {"record": write_record(record, UID)}} if record is not None else {})


def ordered_as(seen: Snapshot) -> list[str]:
    found = (a.obj for a in plan(seen, decide(seen)) if isinstance(a, Create) and a.orders_node)
    return [candidate_of(obj).instance_type for obj in found]


def remembered(seen: Snapshot) -> Record:
    (record,) = [a.record for a in plan(seen, decide(seen)) if isinstance(a, Remember)]
    return record


def refused(ordinal: int = 0, attempt: int = 0, reason: str = QUOTA, on: str = A10) -> MachineView:
    said = {"reason": reason, "message": f"no {on}", "candidate": Candidate(on)}
    return machine(ordinal, attempt, MachinePhase.PENDING, **said)


def passed(*types: str, reason: str = QUOTA, former: bool = False) -> tuple[Passed, ...]:
    return tuple(Passed(Candidate(name), reason, f"no {name}", START, former) for name in types)


def test_the_first_entry_is_ordered_and_the_field_beside_the_list_says_nothing() -> None:
    raw = workspace()
    del raw["resource"]["instanceType"]

    assert ordered_as(snapshot(workspace())) == ordered_as(snapshot(raw)) == [A10]


@pytest.mark.parametrize("reason", [QUOTA, CAPACITY, "InstanceTypeNotOffered"])
def test_a_refusal_of_the_type_is_recorded_and_the_next_is_ordered_once_the_first_order_is_gone(reason: str) -> None:
    first = snapshot(workspace(), machines=(refused(reason=reason),), after_s=5)
    record = remembered(first)
    told = decide(first).machines

    assert [entry.candidate.instance_type for entry in record.passed] == [A10]
    assert (record.attempts[0].next_attempt, record.attempts[0].failed) == (1, 0)
    assert told.reason is reasons.NEXT_INSTANCE_TYPE
    assert told.message == f"{A10} could not be obtained: {reason}: no {A10}. The next one is tried: {A100}."

    second = snapshot(workspace(record), machines=(refused(reason=reason),), after_s=6)
    assert [a.name for a in plan(second, decide(second)) if isinstance(a, Delete)] == [refused().name]
    assert ordered_as(second) == []

    third = snapshot(workspace(record), after_s=7)
    assert ordered_as(third) == [A100]
    assert (
        f"Instance type {A100}, entry 2 of 3. {A10} could not be obtained: {reason}" in decide(third).machines.message
    )


@pytest.mark.parametrize("reason", [DENIED, "InvalidMachine", "LaunchFailed", "CloudThrottled", "LaunchInProgress"])
def test_a_refusal_that_would_meet_every_type_tries_no_other(reason: str) -> None:
    seen = snapshot(workspace(), machines=(refused(reason=reason),), after_s=5)

    assert decide(seen).assignment.step is None


def test_an_unsorted_error_counts_by_the_code_that_it_quotes() -> None:
    quoting = replace(refused(reason="LaunchFailed"), message="ERROR CODE: ZonalAllocationFailed, no room")
    similar = replace(refused(reason="LaunchFailed"), message="the label AllocationFailedness is refused")

    assert decide(snapshot(workspace(), machines=(quoting,))).assignment.step is not None
    assert decide(snapshot(workspace(), machines=(similar,))).assignment.step is None


def test_the_last_entry_is_waited_for_and_its_failure_begins_at_the_top() -> None:
    record = Record(passed=passed(A10, A100))
    waiting = snapshot(workspace(record), machines=(refused(0, 0, CAPACITY, H100),), after_s=60)
    told = decide(waiting).machines

    assert decide(waiting).assignment.step is None
    assert told.reason is reasons.MACHINE_FAILING
    assert "No other entry in the list is left to try" in told.message

    late = replace(refused(0, 0, "MachineTimedOut", H100), phase=MachinePhase.FAILED)
    after = remembered(snapshot(workspace(record), machines=(late,), after_s=1900))
    assert all(entry.former for entry in after.passed)
    assert after.attempts[0].failed == 1
    assert ordered_as(snapshot(workspace(after), after_s=1940)) == [A10]


def test_steps_cost_no_attempt_and_no_pause_in_a_later_round() -> None:
    waited = snapshot(workspace(Record(passed=passed(A10, A100))), machines=(_late(H100),), after_s=1900)
    second_round = remembered(waited)

    moved = remembered(snapshot(workspace(second_round), machines=(refused(0, 1),), after_s=1960))

    assert moved.attempts[0].failed == 1
    assert ordered_as(snapshot(workspace(moved), after_s=1961)) == [A100]


def _late(on: str) -> MachineView:
    return replace(refused(0, 0, "MachineTimedOut", on), phase=MachinePhase.FAILED)


def test_the_whole_set_moves_on_together_also_an_order_that_is_not_seen_yet() -> None:
    ready = machine(1, candidate=Candidate(A10), node_name="node-1")
    record = remembered(snapshot(workspace(count=3), machines=(refused(0), ready), after_s=5))

    assert {ordinal: entry.next_attempt for ordinal, entry in record.attempts.items()} == {0: 1, 1: 1, 2: 1}
    seen = snapshot(workspace(record, count=3), machines=(refused(0), ready), after_s=6)
    assert sorted(a.name for a in plan(seen, decide(seen)) if isinstance(a, Delete)) == sorted(
        [refused(0).name, ready.name]
    )
    assert ordered_as(snapshot(workspace(record, count=3), after_s=7)) == [A100] * 3


def _serving(count: int, record: Record, *more: MachineView) -> Snapshot:
    deployment = {
        "kind": "Deployment",
        "metadata": {"name": "phi", "uid": "d", "generation": 1},
        "spec": {"replicas": 1},
    }
    ready = machine(0, 1, candidate=Candidate(A100))
    made = node("node-0", owner="default/phi", labels={"node.kubernetes.io/instance-type": A100, "apps": "phi"})
    return snapshot(
        workspace(record, count=count),
        machines=(ready, *more),
        nodes=nodes(made),
        existing={("Deployment", "phi"): deployment},
        after_s=100,
    )


def test_a_set_in_use_grows_by_its_own_type_and_is_not_given_up_for_another() -> None:
    record = Record(passed=passed(A10))

    assert ordered_as(_serving(2, record)) == [A100]
    held = _serving(2, record, refused(1, 0, CAPACITY, A100))
    assert decide(held).assignment.step is None
    assert f"while nodes of {A100} are in use" in decide(held).machines.message


def test_nodes_ordered_anew_begin_at_the_top() -> None:
    lost = machine(0, 1, MachinePhase.DELETING, candidate=Candidate(A100), initialized=True)
    record = remembered(snapshot(workspace(Record(passed=passed(A10))), machines=(lost,), after_s=100))

    assert [entry.former for entry in record.passed] == [True]
    assert ordered_as(snapshot(workspace(record), after_s=200)) == [A10]


def offer(short: str, free: int = 0) -> InstanceOffer:
    families = {"f": FamilyQuota("f", free, 0)}
    return InstanceOffer("2026-11-29T04:00:00Z", "eastus", families, {short.lower(): OfferedType(short, "f", 36)})


def test_an_entry_known_to_be_short_is_put_behind_the_others_and_still_tried() -> None:
    seen = snapshot(workspace(), offer=offer(A10))
    record = remembered(seen)

    assert ordered_as(seen) == [A100]
    assert [(p.candidate.instance_type, p.reason) for p in record.passed] == [(A10, "QuotaShort")]
    assert f"{A10} is tried after the others: QuotaShort: the quota of f" in decide(seen).machines.message
    last = Record(passed=(*record.passed, *passed(A100, H100)))
    assert ordered_as(snapshot(workspace(last), offer=offer(A10))) == [A10]


def test_where_quota_is_required_an_entry_known_to_be_short_is_not_ordered() -> None:
    record = Record(passed=passed(A10, reason="QuotaShort"))
    on_last = snapshot(
        workspace(Record(passed=(*record.passed, *passed(A100)))),
        machines=(refused(0, 0, CAPACITY, H100),),
        require_quota=True,
    )

    assert decide(on_last).assignment.step is None


def test_a_retired_entry_is_put_behind_the_others() -> None:
    seen = snapshot(workspace(types=("Standard_NC6s_v3", A100)))

    assert ordered_as(seen) == [A100]
    assert "Standard_NC6s_v3 is tried after the others: InstanceTypeRetired" in decide(seen).machines.message


def test_spot_then_on_demand_is_the_same_list_with_all_types_as_spot_first() -> None:
    raw = workspace(types=(A10, A100))
    raw["metadata"]["annotations"] = {"kaito.sh/capacity-type": "spot-then-on-demand"}
    seen = snapshot(raw)
    spot = replace(refused(reason=CAPACITY), candidate=Candidate(A10, "spot"))

    assert [c.text for c in seen.candidates] == [
        f"{A10} (spot)",
        f"{A100} (spot)",
        f"{A10} (on-demand)",
        f"{A100} (on-demand)",
    ]
    step = decide(snapshot(raw, machines=(spot,))).assignment.step
    assert step is not None
    assert step.following == Candidate(A100, "spot")
    both = tuple(Passed(Candidate(name, "spot"), CAPACITY, "no", START) for name in (A10, A100))
    last = raw | {"status": {"record": write_record(Record(passed=both), UID)}}
    (order,) = [a.obj for a in plan(snapshot(last), decide(snapshot(last))) if isinstance(a, Create) and a.orders_node]
    assert candidate_of(order) == Candidate(A10, "on-demand")


def test_the_taken_entry_is_shown_and_nothing_where_there_is_no_list() -> None:
    seen = snapshot(workspace(Record(passed=passed(A10))), machines=(machine(0, candidate=Candidate(A100)),))
    single = snapshot(raw_workspace(), machines=(machine(0),))

    assert type_of(seen, decide(seen)) == {"instanceType": A100}
    assert type_of(single, decide(single)) == {}


def test_the_flags_of_the_pods_follow_the_type_that_was_taken() -> None:
    def arguments(record: Record) -> tuple[str, ...]:
        raw = workspace(record, types=(A10, H100)) | {"inference": {"preset": {"name": "qwen3-8b"}}}
        return snapshot(raw).context.runtime_args

    assert arguments(Record()) != arguments(Record(passed=passed(A10)))


def test_an_entry_that_does_not_hold_the_model_closes_the_gate_by_its_path() -> None:
    raw = workspace(types=(H100, A10)) | {"inference": {"preset": {"name": "qwen3-32b"}}}

    preflight = snapshot(raw).preflight

    assert preflight is not None
    assert "resource.instanceTypes[1]" in preflight.message


def test_the_record_survives_a_round_trip_and_stays_within_its_bounds() -> None:
    entries: tuple[Passed, ...] = ()
    for number in range(40):
        entries = with_passed(
            entries, Passed(Candidate(f"t{number}", "spot"), "r" * 900, "m" * 5000, START, number % 2 == 0)
        )
    raw = {"metadata": {"uid": UID}, "status": {"record": write_record(Record(passed=entries), UID)}}

    found = read_record(raw).passed

    assert len(found) == 12
    assert max(len(entry.message) for entry in found) == 600
    assert read_record({**raw, "metadata": {"uid": "another"}}).passed == ()
    again = {"metadata": {"uid": UID, "annotations": {"kaito.sh/try-again": "now"}}, "status": raw["status"]}
    assert read_record(again).passed == ()


@pytest.mark.parametrize("stored", [None, 7, [7], [{"instanceType": "a"}], [{"at": "x"}], {"a": 1}])
def test_whatever_is_stored_is_read_without_an_error(stored: object) -> None:
    assert read_record({"metadata": {"uid": UID}, "status": {"record": {"uid": UID, "passed": stored}}}).passed == ()
