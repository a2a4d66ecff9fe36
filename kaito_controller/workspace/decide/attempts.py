"""Failed Machines and their successors: what is put on record, what is removed, and when which attempt is made. Pure.

One identity (UID, ordinal) has at most one Machine alive: the next attempt is ordered only when the former is gone, and removed is only
what is on record, or a crash in between would forget that it had ever been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller_runtime.untrusted import later
from kaito_controller.workspace.state.machines import NODE_LOST, SPOT_EVICTED, Order, deleted_by_others, says_why
from kaito_controller.workspace.state.records import Failure, shorten
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, Snapshot

MOST_DOUBLINGS = 10
"""The pause before an attempt doubles with each failure, up to a thousand times the first one."""

GONE = frozenset({MachinePhase.FAILED, MachinePhase.DELETING})
"""Phases of Machines that fill no place any more."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """An ordinal whose next attempt may not be made yet."""

    ordinal: int
    failure: Failure
    until: datetime
    exhausted: bool


def attempt_of(machine: MachineView | None) -> int:
    """Its number; -1 when there is none."""
    return -1 if machine is None or machine.attempt is None else machine.attempt


def is_lost(machine: MachineView, snapshot: Snapshot) -> bool:
    """A node that stays away (or stays NotReady) although its Machine still says Ready; karpenter's Ready is sticky."""
    if machine.phase is not MachinePhase.READY:
        return False
    node = snapshot.nodes.get(machine.node_name)
    since = snapshot.absent_since.get(machine.name) if node is None else None if node.ready else node.since
    counted = None if since is None else snapshot.counted(since, "Node", "Machine")
    return counted is not None and snapshot.now - counted >= timedelta(seconds=snapshot.limits.node_lost_timeout_s)


def eviction(machine: MachineView, snapshot: Snapshot) -> str:
    """How it is known that the cloud has taken, or takes, this spot node back; "" when it does not.

    A notice on its Node; without one, the loss of a spot node that had worked: clouds may give none.
    """
    node = snapshot.nodes.get(machine.node_name)
    if machine.phase not in GONE and node is not None and node.eviction and machine.initialized:
        return node.eviction
    lost = machine.spot and machine.initialized and (machine.phase in GONE or is_lost(machine, snapshot))
    return "it went without a notice" if lost else ""


def has_ended(machine: MachineView, snapshot: Snapshot) -> bool:
    """It fills no place any more: failed, going, lost, or being taken back."""
    return machine.phase in GONE or is_lost(machine, snapshot) or bool(eviction(machine, snapshot))


def _evicted(snapshot: Snapshot, machine: MachineView, told: str) -> Failure:
    """A new attempt that costs none of the allowed ones."""
    before = snapshot.attempts.get(machine.ordinal if machine.ordinal is not None else -1)
    message = f"spot node {machine.node_name} is taken back by its cloud: {told}"
    return Failure(
        *(attempt_of(machine) + 1, before.failed if before else 0, machine.name, SPOT_EVICTED, message),
        snapshot.now.replace(microsecond=0),
        cause=before.cause if before and before.failed else "",
    )


def record_failures(snapshot: Snapshot, failed: Iterable[MachineView]) -> dict[int, Failure]:
    """One more failure for each ordinal whose current Machine failed. A node that had worked for long starts a new count."""
    found = {}
    for machine in failed:
        if machine.ordinal is None:
            continue
        told = eviction(machine, snapshot)
        if told:
            found[machine.ordinal] = _evicted(snapshot, machine, told)
            continue
        before = snapshot.attempts.get(machine.ordinal)
        period = timedelta(seconds=snapshot.limits.machine_retry_period_s)
        fresh = before is None or (machine.initialized and snapshot.now - before.at >= period)
        lost = machine.phase is MachinePhase.READY
        reason = NODE_LOST if lost else machine.reason or deleted_by_others(machine.kind)
        message = f"node {machine.node_name} is gone or not Ready" if lost else machine.message
        count = 1 if fresh or before is None else before.failed + 1
        found[machine.ordinal] = Failure(
            *(attempt_of(machine) + 1, count, machine.name, reason, message, snapshot.now.replace(microsecond=0)),
            cause=("" if lost else cause_of(machine)) or (before.cause if before and not machine.initialized else ""),
        )
    return found


def sightings(snapshot: Snapshot, current: Iterable[MachineView]) -> dict[int, Failure]:
    """Causes that are seen now and not on record: the Machine may be gone before its failure says more than that its time was up.

    One for each reason, however often its wording changes, so that a cloud that counts in its messages costs no writes.
    """
    found = {}
    for machine in current:
        said = cause_of(machine)
        if machine.ordinal is None or machine.phase is not MachinePhase.PENDING or not said:
            continue
        empty = Failure(attempt_of(machine), 0, machine.name, machine.reason, "", machine.created_at)
        before = snapshot.attempts.get(machine.ordinal, empty)
        if before.cause.partition(":")[0] != machine.reason:
            found[machine.ordinal] = replace(before, cause=said)
    return found


def cause_of(machine: MachineView) -> str:
    """Reason and message of a Machine that says why; "" for one that only says what."""
    if not says_why(machine):
        return ""
    return shorten(f"{machine.reason}: {machine.message}".rstrip(": "))


def removable(
    superseded: Iterable[MachineView], failed: Iterable[MachineView], recorded: Mapping[int, Failure]
) -> list[MachineView]:
    """Failed Machines go only once their failure is on record, or a crash in between would forget that they had ever been."""
    forgettable = [m for m in failed if m.ordinal is None or m.ordinal not in recorded]
    return [m for m in (*superseded, *forgettable) if m.phase is not MachinePhase.DELETING]


def next_orders(
    snapshot: Snapshot, missing: int, current: tuple[MachineView, ...], superseded: tuple[MachineView, ...]
) -> tuple[tuple[Order, ...], tuple[Waiting, ...], tuple[MachineView, ...]]:
    """(what to order now, whose next attempt must wait for its time, whose place must wait for a Machine to be gone)."""
    occupied = {m.ordinal: m for m in (*current, *superseded) if m.ordinal is not None}
    orders: list[Order] = []
    blocked: list[Waiting] = []
    leaving: list[MachineView] = []
    for ordinal in range(snapshot.wanted.count):
        if len(orders) + len(blocked) + len(leaving) == missing:
            break
        machine, record = occupied.get(ordinal), snapshot.attempts.get(ordinal)
        if machine is not None and machine not in superseded and not has_ended(machine, snapshot):
            continue
        if machine is not None:
            leaving.append(machine)
            continue
        wait = _waiting(snapshot, ordinal, record)
        if wait is not None:
            blocked.append(wait)
            continue
        # Until one has failed since: a provisioner's memory of former refusals must not use up what was just asked for.
        request = "" if record and record.failed else snapshot.request
        orders.append(Order(ordinal, record.next_attempt if record else 0, request))
    return tuple(orders), tuple(blocked), tuple(leaving)


def _waiting(snapshot: Snapshot, ordinal: int, record: Failure | None) -> Waiting | None:
    if record is None or record.failed == 0:
        return None
    exhausted = record.failed >= snapshot.limits.machine_attempts
    delay_s = snapshot.limits.machine_retry_delay_s * 2 ** min(record.failed - 1, MOST_DOUBLINGS)
    pause_s = snapshot.limits.machine_retry_period_s if exhausted else delay_s
    until = later(record.at, pause_s)
    return Waiting(ordinal, record, until, exhausted) if snapshot.now < until else None
