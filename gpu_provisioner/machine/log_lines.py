"""What the log says of an action that was carried out. Pure: the applier writes the line, with the Machine and the time that the call took.

A look that changes nothing carries nothing out, so that a steady state has no lines.
"""

from __future__ import annotations

from typing import Any

from gpu_provisioner.api import conditions, reasons
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.machine.plan import (
    Action,
    CreatePool,
    DeleteMachine,
    DeletePool,
    EvictPod,
    PatchNode,
    ReleaseNode,
    RemoveFinalizer,
)
from gpu_provisioner.machine.snapshot import Snapshot

ASKED_FOR = "MachineDeleted"
"""Somebody deleted the Machine, which is reason enough."""


def told(action: Action, snapshot: Snapshot) -> tuple[str, dict[str, Any]]:
    """The line and its fields: the object, and the reason where the line itself does not say it."""
    match action:
        case CreatePool():
            return f"{CLOUD.pool} ordered", {"pool": action.spec.name, "instance_type": action.spec.instance_type}
        case DeletePool():
            reason = action.failure.reason if action.failure is not None else _why(snapshot)
            return f"deletion of {CLOUD.pool} asked for", {"pool": action.pool.name, "reason": reason}
        case PatchNode():
            return "node updated", {"node": action.name, "fields": sorted(action.patch.body)}
        case EvictPod():
            return "eviction asked for", {"pod": f"{action.pod.namespace}/{action.pod.name}", "reason": _why(snapshot)}
        case ReleaseNode():
            return "node released", {"node": action.node.name, "reason": _why(snapshot)}
        case DeleteMachine():
            return "giving the machine up", {"reason": action.reason}
        case RemoveFinalizer():
            return "finalizer removed", {"reason": _why(snapshot), "ended_in_s": round(snapshot.ages.termination_s)}


def _why(snapshot: Snapshot) -> str:
    """What the provisioner gave the Machine up for, as `Ready` goes on saying; otherwise somebody wanted it gone."""
    ready = snapshot.machine.condition(conditions.READY)
    if ready is None or not ready.reason or ready.reason in (reasons.DRAINING, reasons.POOL_DELETING):
        return ASKED_FOR
    return ready.reason
