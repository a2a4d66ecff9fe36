"""Letting a Workspace go: what remains, what to do next, what to show. Pure.

    workloads ──▶ Machines ──▶ marks on nodes ──▶ finalizer

Pods are not waited for until they are gone: a pod on a dead node would hold up the deletion of that very node. They have a moment to begin
to leave, so that none is evicted that leaves by itself. The Machines are waited for, because they are what costs money; the last step
looks at the API server itself, since a cache could lag behind a Machine that was ordered a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object, is_deleting, name_of
from kaito_controller.api import reasons
from kaito_controller.workspace.act.actions import Action, Delete, ReleaseNode, RemoveFinalizer
from kaito_controller.workspace.state.machines import deleted_by_others
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, NodeView, Verdict


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a Workspace that is being deleted; all of it is ours by UID."""

    objects: tuple[Object, ...] = ()
    """Services, workloads and ConfigMaps."""
    pods: tuple[str, ...] = ()
    """Of workloads that were deleted a moment ago: those that do not leave yet, by name."""
    machines: tuple[MachineView, ...] = ()
    claimed: tuple[NodeView, ...] = ()

    @property
    def nothing(self) -> bool:
        """Only the finalizer is left, as far as the caches know."""
        return not (self.objects or self.machines or self.claimed)


def plan_deletion(remains: Remains) -> tuple[Action, ...]:
    """The next step."""
    if remains.objects:
        return tuple(Delete.of(obj) for obj in remains.objects if not is_deleting(obj))
    if remains.machines:
        if remains.pods:
            return ()
        going = MachinePhase.DELETING
        return tuple(Delete(m.kind, m.name, "", m.uid) for m in remains.machines if m.phase is not going)
    if remains.claimed:
        return tuple(ReleaseNode(node.name, node.resource_version) for node in remains.claimed)
    return (RemoveFinalizer(),)


def deletion_verdict(remains: Remains) -> Verdict:
    """What the deletion waits for."""
    if remains.objects:
        names = ", ".join(f"{obj['kind']} {name_of(obj)}" for obj in remains.objects[:4])
        return Verdict(reasons.DELETING_WORKLOADS, f"Waiting for {names} to be removed.")
    if remains.machines and remains.pods:
        return Verdict(reasons.DELETING_WORKLOADS, f"Waiting for Pod {', '.join(remains.pods[:4])} to leave.")
    if remains.machines:
        return Verdict(reasons.DELETING_MACHINES, _machines(remains.machines))
    names = ", ".join(node.name for node in remains.claimed[:4])
    return Verdict(
        reasons.RELEASING, f"All workloads and ordered nodes are gone; taking the mark off {names or 'no node'}."
    )


def _machines(machines: tuple[MachineView, ...]) -> str:
    names = ", ".join(machine.name for machine in machines[:4])
    more = f" and {len(machines) - 4} more" if len(machines) > 4 else ""
    first = machines[0]
    since = f" {first.kind} {first.name} has been terminating since {rfc3339(first.since)}." if first.since else ""
    said = first.phase is MachinePhase.DELETING and first.reason != deleted_by_others(first.kind)
    told = f" It says {first.reason}: {shorten(first.message, 300)}" if said else ""
    return f"Waiting for {names}{more} to be removed.{since}{told}"
