"""What to do next: Snapshot and Decision to ordered Actions; nothing to do gives none. Pure.

Records come before the deletions they explain, deletions before creations, Services before what they point at. All missing Machines are
ordered in one go. A plan never counts on its own actions having been seen by the caches: each action has a derived name or a
precondition, and whatever is seen only later is planned later.
"""

from __future__ import annotations

from controller_runtime.resources import Object, is_deleting, name_of, uid_of
from kaito_controller.workloads import UpdateDecision, compare, rescaled
from kaito_controller.workspace.act.actions import Action, ClaimNodes, Create, Delete, ReleaseNode, Remember, Replace
from kaito_controller.workspace.decide.candidates import former
from kaito_controller.workspace.decide.decision import RUNNERS, Decision, intent_of, runner
from kaito_controller.workspace.state.candidates import Passed
from kaito_controller.workspace.state.machines import build_machine
from kaito_controller.workspace.state.records import Record, write_record
from kaito_controller.workspace.state.snapshot import Mode, Snapshot


def plan(snapshot: Snapshot, decision: Decision) -> tuple[Action, ...]:
    """The actions of one reconcile of a living Workspace."""
    if decision.frozen:
        return ()
    remember = _remember(snapshot, decision)
    if decision.release is not None:
        return tuple(remember)
    if decision.released:
        return (*remember, *_give_back(snapshot, decision))
    actions: list[Action] = [*remember, *_nodes(snapshot, decision)]
    for desired in decision.desired:
        actions.extend(_bring_about(snapshot, desired))
    actions.extend(_clear(snapshot, decision))
    return tuple(actions)


def _remember(snapshot: Snapshot, decision: Decision) -> list[Action]:
    """A record that says nothing is not worth a write of its own; the next status brings it."""
    uid, failures = uid_of(snapshot.raw), decision.assignment.failures
    finished = decision.finished and snapshot.mode is Mode.TUNING
    record = Record(
        attempts={**(snapshot.attempts if failures is None else failures), **decision.assignment.sightings},
        release=decision.release or (snapshot.release if decision.released else None),
        tuned_run=intent_of(snapshot) if finished else snapshot.tuned_run,
        request=snapshot.request,
        trained_run=decision.trained or snapshot.trained_run,
        passed=_passed(snapshot, decision),
    )
    stored = snapshot.stored or Record(request=record.request)
    return [] if write_record(record, uid) == write_record(stored, uid) else [Remember(record)]


def _passed(snapshot: Snapshot, decision: Decision) -> tuple[Passed, ...]:
    """Where nodes are given back, the next ones are new nodes, for which everything is tried again."""
    if decision.release is not None or decision.released:
        return former(snapshot.passed)
    changed = decision.assignment.passed
    return snapshot.passed if changed is None else changed


def _give_back(snapshot: Snapshot, decision: Decision) -> list[Action]:
    """The workload first: a Machine is not taken from under pods that are still wanted by their controller."""
    held = runner(snapshot)
    if held is not None:
        return [] if is_deleting(held) else [Delete.of(held)]
    return _removals(decision) + _releases(decision)


def _nodes(snapshot: Snapshot, decision: Decision) -> list[Action]:
    assignment = decision.assignment
    claims = tuple((node.name, node.resource_version) for node in assignment.claim)
    orders = [
        Create(build_machine(snapshot.raw, order, snapshot.wanted, snapshot.node_api, snapshot.node_terms))
        for order in assignment.order
    ]
    return [*_removals(decision), *_releases(decision), *([ClaimNodes(claims)] if claims else []), *orders]


def _removals(decision: Decision) -> list[Action]:
    return [Delete(machine.kind, machine.name, "", machine.uid) for machine in decision.assignment.remove]


def _releases(decision: Decision) -> list[Action]:
    return [ReleaseNode(node.name, node.resource_version) for node in decision.assignment.release]


def _bring_about(snapshot: Snapshot, desired: Object) -> list[Action]:
    live = snapshot.existing.get((desired["kind"], name_of(desired)))
    if live is None:
        return [Create(desired)]
    if desired["kind"] == "Job" or is_deleting(live):
        return []
    update = compare(live, desired)
    if update in (UpdateDecision.KEEP, UpdateDecision.HELD_BACK):
        return []
    if desired["kind"] == "ConfigMap":
        return [Delete.of(live)]  # made immutable at birth; it comes back with the right content
    if update is UpdateDecision.SCALE:
        return [Replace(live, rescaled(live, desired), repair=False)]
    return [Replace(live, desired, repair=update is UpdateDecision.REPAIR)]


def _clear(snapshot: Snapshot, decision: Decision) -> list[Action]:
    """Remove what was made for an earlier wish: an obsolete Job, its configuration, a Service that is no longer meant."""
    wanted = {(obj["kind"], name_of(obj)) for obj in decision.desired}
    actions: list[Action] = []
    for key, obj in sorted(snapshot.existing.items()):
        is_runner = key[0] in RUNNERS
        if is_deleting(obj) or key in wanted or (is_runner and not decision.obsolete):
            continue
        actions.append(Delete.of(obj))
    return actions
