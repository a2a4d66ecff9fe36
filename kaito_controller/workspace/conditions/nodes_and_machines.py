"""How the Machines and the nodes stand: the verdicts behind `MachineReady` and `ResourceReady`. Pure.

Messages name the object, say since when and until when, and leave out whatever changes without meaning anything (heartbeats, the
provisioner's small steps), because each different message is a write.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controller_runtime.clock import rfc3339
from controller_runtime.resources import uid_of
from controller_runtime.untrusted import later
from kaito_controller.api import reasons
from kaito_controller.api.reasons import Severity
from kaito_controller.api.sentences import try_again
from kaito_controller.catalog.offer import Shortage
from kaito_controller.nodeapi import api_of
from kaito_controller.workspace.conditions.instance_types import last_one, moving, stepped, told_of_types
from kaito_controller.workspace.decide.attempts import Waiting
from kaito_controller.workspace.decide.candidates import is_passed
from kaito_controller.workspace.decide.nodes import Assignment
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.machines import SPOT_EVICTED, is_unavailable, reasons_of
from kaito_controller.workspace.state.records import Failure, shorten
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, NodeView, Snapshot, Verdict

LOOK_FOR_ROOM_S = 300.0
"""Room is announced by watches; this is for a place that was taken and never used."""
_NEW_WORKSPACE = (
    "If it is a label: labels of ordered nodes come from resource.labelSelector, which cannot be changed, so delete the Workspace "
    "and create it with another one. "
)
LISTED = 3
"""Objects that a message names before it only counts the rest."""


def machine_verdict(snapshot: Snapshot, assignment: Assignment) -> Verdict:
    """How the ordered Machines stand."""
    wanted = snapshot.wanted
    if assignment.step is not None:
        return stepped(assignment.step)
    if assignment.short and snapshot.machine_api and wanted.unorderable:
        return _unorderable(snapshot, assignment)
    if assignment.short:
        labels = ",".join(f"{key}={value}" for key, value in sorted(wanted.match_labels.items())) or "(none)"
        api = snapshot.node_api
        return Verdict(
            reasons.MACHINE_API_MISSING,
            f"{assignment.short} of {wanted.count} nodes are missing and {api.kind}s cannot be ordered: the CRD {api.crd} is "
            f"not installed. Install it and a provisioner, or bring free Ready nodes {_of_type(snapshot)}"
            f"with the labels {labels}.{_told(assignment)}",
        )
    if snapshot.rejection is not None and snapshot.rejection.machine and (assignment.order or assignment.failures):
        is_missing = snapshot.rejection.reason is reasons.MACHINE_API_MISSING
        return Verdict(
            reasons.MACHINE_API_MISSING if is_missing else reasons.MACHINE_REFUSED,
            f"{snapshot.rejection.message}{_told(assignment)}",
        )
    if assignment.excess is not None:
        return Verdict(reasons.NODE_LIMIT_REACHED, assignment.excess.message, later(snapshot.now, LOOK_FOR_ROOM_S))
    if assignment.scarce is not None:
        return _scarce(snapshot, assignment.scarce)
    return _replacement(snapshot, assignment) or _progress(snapshot, assignment)


def _scarce(snapshot: Snapshot, scarce: Shortage) -> Verdict:
    """Said before anything is ordered; with `--require-quota` nothing is."""
    if snapshot.require_quota:
        return Verdict(
            reasons.QUOTA_SHORT,
            f"No node is ordered, because {scarce.message}. The order continues by itself once there is room (--require-quota).",
            later(snapshot.now, LOOK_FOR_ROOM_S),
        )
    return Verdict(
        reasons.QUOTA_SHORT,
        f"The order will probably be refused: {scarce.message}. It is placed anyway, because this may have changed.",
    )


def _of_type(snapshot: Snapshot) -> str:
    return "" if snapshot.wanted.is_default_type else f"of instance type {snapshot.wanted.instance_type} "


def _unorderable(snapshot: Snapshot, assignment: Assignment) -> Verdict:
    wanted = snapshot.wanted
    labels = ",".join(f"{key}={value}" for key, value in sorted(wanted.match_labels.items()))
    return Verdict(
        reasons.MODEL_DOES_NOT_FIT,
        f"{assignment.short} of {wanted.count} nodes are missing, and none is ordered, because the model does not fit "
        f"{wanted.type_text}, which would be: {wanted.unorderable} Recreate the Workspace with such a "
        f"resource.instanceType, or bring nodes with the labels {labels} that hold it.{_told(assignment)}",
    )


def _replacement(snapshot: Snapshot, assignment: Assignment) -> Verdict | None:
    exhausted = [wait for wait in assignment.blocked if wait.exhausted]
    if exhausted:
        held = [*(m.name for m in assignment.machines), *(n.name for n in assignment.nodes)]
        return _exhausted(snapshot, exhausted[0], holds=bool(held))
    for wait in assignment.blocked:
        told = _history(snapshot, wait.failure)
        return Verdict(
            reasons.MACHINE_REPLACED, f"{told} The next attempt is made at {rfc3339(wait.until)}.", wait.until
        )
    for machine in assignment.leaving:
        record = (assignment.failures or snapshot.attempts).get(machine.ordinal if machine.ordinal is not None else -1)
        if record is not None and record.reason == SPOT_EVICTED:
            return _evicted(machine, record)
        if is_passed(machine, snapshot):
            return moving(snapshot, machine)
        told = f"{_history(snapshot, record)} " if record else ""
        is_last = record is not None and record.failed >= snapshot.limits.machine_attempts
        before = "" if is_last else " before the next attempt"
        return Verdict(
            reasons.MACHINE_REPLACED, f"{told}Waiting for {machine.kind} {machine.name} to be removed{before}."
        )
    return None


def _evicted(machine: MachineView, record: Failure) -> Verdict:
    return Verdict(
        reasons.SPOT_NODE_EVICTED,
        f"{record.message[:1].upper()}{record.message[1:]}. It is drained and replaced, which does not count as a failed attempt. "
        f"Waiting for {machine.kind} {machine.name} to be removed.",
    )


def _exhausted(snapshot: Snapshot, wait: Waiting, *, holds: bool) -> Verdict:
    retry = try_again(snapshot.namespace, snapshot.name)
    none = f"No {snapshot.node_api.kind} is held now."
    held = "The other nodes are kept for what runs on them." if holds else none
    is_invalid = wait.failure.reason in snapshot.node_api.reasons.invalid
    return Verdict(
        reasons.MACHINE_ATTEMPTS_EXHAUSTED,
        f"{_history(snapshot, wait.failure)} {held} {_NEW_WORKSPACE if is_invalid else ''}Once the cause is removed, "
        f"try again with: {retry} (one attempt is made by itself at {rfc3339(wait.until)}).",
        wait.until,
    )


def _history(snapshot: Snapshot, failure: Failure) -> str:
    """Names the instance type, since what a provisioner remembers of a refusal may not; first of all that it is retired, if it is."""
    cause = f"{failure.reason}: {failure.message}".rstrip(": ")
    counted = f"attempt {failure.failed} of {snapshot.limits.machine_attempts}"
    said = shorten(cause, 500).rstrip(".")
    before = shorten(failure.cause, 500).rstrip(".") if failure.cause and failure.cause not in cause else ""
    why = f" The last cause that was given: {before}." if before else ""
    machine = f"{snapshot.node_api.kind} {failure.machine} ({_type_text(snapshot)})"
    return f"{_life(snapshot)}{machine} failed ({counted}): {said}.{why}{told_of_types(snapshot)}"


def _type_text(snapshot: Snapshot) -> str:
    wanted = snapshot.wanted
    return f"{wanted.instance_type}, the default" if wanted.is_default_type else wanted.instance_type


def _life(snapshot: Snapshot) -> str:
    """What is wrong with the type itself, first of all: it is retired, or a name that nobody knows."""
    wanted = snapshot.wanted
    if wanted.nearest_type:
        return f"{wanted.instance_type} is in no list; the nearest known instance type is {wanted.nearest_type}. "
    default = "; this type is the default" if wanted.is_default_type else ""
    return f"{wanted.retirement}{default}. " if wanted.retirement else ""


def _progress(snapshot: Snapshot, assignment: Assignment) -> Verdict:
    waiting = [m for m in assignment.machines if m.phase is MachinePhase.PENDING]
    failing = [m for m in waiting if m.reason not in reasons_of(m).waiting]
    if failing:
        machine = failing[0]
        until = _deadline(_counted(snapshot, machine.created_at, "Machine"), snapshot.limits.machine_timeout_s)
        said = shorten(machine.message, 500).rstrip(".")
        text = (
            f"{_life(snapshot)}{machine.kind} {machine.name} reports {machine.reason}: {said}. {_since(machine.since)}"
        )
        refused = last_one(snapshot) if is_unavailable(machine) else ""
        types = f"{refused}{told_of_types(snapshot)}"
        return Verdict(
            reasons.MACHINE_FAILING, f"{text}It counts as failed at {rfc3339(until)} at the latest.{types}", until
        )
    silent = [m for m in waiting if not m.touched and _age_s(m, snapshot.now) >= snapshot.limits.provisioner_silence_s]
    if silent:
        return _silent(snapshot, silent[0])
    degraded = [m for m in assignment.machines if m.phase is MachinePhase.DEGRADED]
    if degraded:
        return _degraded(snapshot, degraded[0])
    if waiting or assignment.order:
        return _pending(snapshot, assignment, waiting)
    if assignment.machines:
        return Verdict(reasons.MACHINES_READY, f"Ready: {_listed(snapshot, assignment)}.{told_of_types(snapshot)}")
    return Verdict(reasons.MACHINES_NOT_NEEDED, f"Existing nodes are used; no {snapshot.node_api.kind} was ordered.")


def _pending(snapshot: Snapshot, assignment: Assignment, waiting: list[MachineView]) -> Verdict:
    """Names all Machines, not only those still awaited: a new message for each node that joins would be a write for each."""
    uid = uid_of(snapshot.raw)
    ordered = [naming.machine_name(uid, order.ordinal, order.attempt) for order in assignment.order]
    start = min((m.created_at for m in waiting), default=snapshot.now)
    until = _deadline(_counted(snapshot, start, "Machine"), snapshot.limits.machine_timeout_s)
    look = min(_deadline(start, snapshot.limits.provisioner_silence_s), until)
    names = _listed(snapshot, assignment, ordered)
    return Verdict(
        reasons.MACHINES_PENDING,
        f"Waiting for {names} to become Ready, ordered at {rfc3339(start)}; "
        f"an attempt counts as failed at {rfc3339(until)} at the latest.{told_of_types(snapshot)}{_told(assignment)}",
        look if look > snapshot.now else until,
    )


def _listed(snapshot: Snapshot, assignment: Assignment, ordered: Iterable[str] = ()) -> str:
    """What was ordered or is being ordered, by kind."""
    kinds: dict[str, list[str]] = {}
    named = [(m.kind, m.name) for m in assignment.machines] + [(snapshot.node_api.kind, name) for name in ordered]
    for kind, name in sorted(named):
        kinds.setdefault(kind, []).append(name)
    return " and ".join(_names(kind, names) for kind, names in kinds.items())


def _told(assignment: Assignment) -> str:
    """Which nodes the user may have counted on, and why they are not used."""
    return "".join(f" {sentence}" for sentence in assignment.passed_over)


def _silent(snapshot: Snapshot, machine: MachineView) -> Verdict:
    until = _deadline(_counted(snapshot, machine.created_at, "Machine"), snapshot.limits.machine_timeout_s)
    kind, provisioner = machine.kind, api_of({"kind": machine.kind}).provisioner
    return Verdict(
        reasons.PROVISIONER_SILENT,
        f"{kind} {machine.name} was ordered at {rfc3339(machine.created_at)} and no provisioner has touched it. Check that "
        f"{provisioner} runs and may update {kind}s. The attempt counts as failed at {rfc3339(until)} at the latest.",
        until,
    )


def _degraded(snapshot: Snapshot, machine: MachineView) -> Verdict:
    if machine.reason in reasons_of(machine).maintenance:
        said = shorten(machine.message, 300).rstrip(".")
        return Verdict(
            reasons.NODE_NOT_READY,
            f"Node {machine.node_name or '(none)'} of {machine.kind} {machine.name} is under maintenance: {said}. "
            f"{_since(machine.since)}It is waited for and not replaced, however long it takes.",
        )
    until = _deadline(_counted(snapshot, machine.since, "Machine"), snapshot.limits.node_lost_timeout_s)
    node = snapshot.nodes.get(machine.node_name)
    causeless = machine.reason in reasons_of(machine).causeless
    own = node.message if node is not None and causeless and not node.ready else ""
    said = (own or f"{machine.reason} {machine.message}".strip()).rstrip(".") or "no reason given"
    return Verdict(
        reasons.NODE_NOT_READY,
        f"{machine.kind} {machine.name} with node {machine.node_name or '(none)'} is no longer Ready: {shorten(said, 300)}. "
        f"{_since(machine.since)}It is replaced at {rfc3339(until)}.",
        until,
    )


def resource_verdict(snapshot: Snapshot, assignment: Assignment, machines: Verdict) -> Verdict:
    """How the nodes stand, given how their Machines do."""
    if machines.reason.severity is not Severity.GOOD:
        return machines
    lost = _lost(snapshot, assignment)
    if lost is not None:
        return lost
    unready = [node for node in assignment.nodes if not node.ready]
    if unready:
        return _unready(snapshot, unready[0])
    blind = [node for node in assignment.nodes if node.gpus < _needed(snapshot, assignment, node)]
    if blind:
        return _blind(snapshot, assignment, blind[0])
    return Verdict(reasons.NODES_READY, f"Ready: {_names('Node', assignment.names)}.")


def _lost(snapshot: Snapshot, assignment: Assignment) -> Verdict | None:
    for machine in assignment.absent:
        since = snapshot.absent_since.get(machine.name, snapshot.now)
        until = _deadline(_counted(snapshot, since, "Node", "Machine"), snapshot.limits.node_lost_timeout_s)
        if machine.node_name in snapshot.worker_nodes:
            gone = f"Node {machine.node_name} of {machine.kind} {machine.name} is missing, first noticed at {rfc3339(since)}"
            text = f"{gone}; it is replaced at {rfc3339(until)}."
            return Verdict(reasons.NODE_LOST, text, until)
        what = f"{machine.kind} {machine.name} is Ready and its Node {machine.node_name} has not appeared yet"
        text = f"{what}; it is replaced at {rfc3339(until)}."
        return Verdict(reasons.MACHINES_PENDING, text, until)
    return None


def _unready(snapshot: Snapshot, node: NodeView) -> Verdict:
    until = _deadline(_counted(snapshot, node.since, "Node"), snapshot.limits.node_lost_timeout_s)
    said = f": {shorten(node.message, 300).rstrip('.')}" if node.message else ""
    text = f"Node {node.name} is not Ready{said}. {_since(node.since)}It is replaced at {rfc3339(until)}."
    return Verdict(reasons.NODE_NOT_READY, text, until)


def _needed(snapshot: Snapshot, assignment: Assignment, node: NodeView) -> int:
    """A node that we ordered must show all its GPUs; one that a user brought only as many as the model cannot do without."""
    ordered = any(machine.node_name == node.name for machine in assignment.machines)
    return snapshot.wanted.gpus_per_node if ordered else snapshot.wanted.least_gpus_per_node


def _blind(snapshot: Snapshot, assignment: Assignment, node: NodeView) -> Verdict:
    until = _deadline(_counted(snapshot, node.since, "Node"), snapshot.limits.gpu_timeout_s)
    needed = _needed(snapshot, assignment, node)
    ready = f"has been Ready since {rfc3339(node.since)}" if node.since else "is Ready"
    text = f"Node {node.name} {ready} and shows {node.gpus} of the {needed} nvidia.com/gpu that are needed"
    if 0 < node.type_gpus <= node.gpus:
        return _too_few(node, text)
    if snapshot.now < until:
        return Verdict(reasons.GPU_NOT_VISIBLE, f"{text}; the device plugin has until {rfc3339(until)}.", until)
    return Verdict(
        reasons.GPU_MISSING,
        f"{text}. Check the GPU driver and the device plugin: kubectl describe node {node.name}",
    )


def _too_few(node: NodeView, text: str) -> Verdict:
    """Nothing is wrong with it, so that neither the driver nor waiting is of any use."""
    has = f"{node.instance_type} has no more, so driver and device plugin are in order"
    return Verdict(reasons.GPU_MISSING, f"{text}: {has}. Recreate the Workspace with a larger instance type.")


def gpus_per_pod(snapshot: Snapshot, assignment: Assignment) -> int:
    """What every chosen node can give: sizing's figure, less on smaller nodes that a user brought."""
    shown = [node.gpus for node in assignment.nodes if node.gpus > 0]
    asked = [
        (node.sizing.gpus if node.sizing else 0) or snapshot.wanted.gpus_per_node or 1 for node in assignment.nodes
    ]
    return min([*(asked or [snapshot.wanted.gpus_per_node or 1]), *shown])


def runtime_args(snapshot: Snapshot, assignment: Assignment) -> tuple[str, ...]:
    """Of the node with the fewest GPUs for it, where the chosen nodes are of several types: all pods are told the same."""
    found = [node.sizing for node in assignment.nodes if node.sizing and node.sizing.runtime_args]
    if len(found) < len(assignment.nodes) or not found:
        return snapshot.context.runtime_args
    return min(found, key=lambda sizing: sizing.gpus).runtime_args


def _counted(snapshot: Snapshot, since: datetime | None, *kinds: str) -> datetime:
    """As `Snapshot.counted`; now, while nothing counts."""
    return (None if since is None else snapshot.counted(since, *kinds)) or snapshot.now


def doubted(snapshot: Snapshot, verdict: Verdict, *kinds: str) -> Verdict:
    """The verdict itself, unless it says that something is missing, late or wrong and comes from caches that may be old."""
    old = [kind for kind in kinds if kind in snapshot.stale]
    if verdict.reason.severity is Severity.GOOD or not old:
        return verdict
    named = " and ".join(f"{name}s" for name in _named(snapshot, old))
    return Verdict(
        reasons.CACHE_STALE,
        f"What the controller knows about {named} may be out of date: it cannot watch them at the moment. Until it can, "
        f"nothing counts as absent, lost or late, and time limits start again from then. Its /readyz names the error.",
    )


def _named(snapshot: Snapshot, kinds: Iterable[str]) -> list[str]:
    """As a user knows them: all node APIs are one cache here, called Machine."""
    return [snapshot.node_api.kind if kind == "Machine" else kind for kind in kinds]


def _deadline(since: datetime, seconds: float) -> datetime:
    return later(since, seconds)


def _age_s(machine: MachineView, now: datetime) -> float:
    return (now - machine.created_at).total_seconds()


def _since(moment: datetime | None) -> str:
    return f"Since {rfc3339(moment)}. " if moment else ""


def _names(kind: str, names: Iterable[str]) -> str:
    known = list(names)
    rest = len(known) - LISTED
    shown = ", ".join(known[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
    return f"{kind} {shown}" if len(known) == 1 else f"{kind}s {shown}"
