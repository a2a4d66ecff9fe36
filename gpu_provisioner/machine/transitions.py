"""What is worth telling about a status write: events of each step and of each new trouble. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gpu_provisioner.api import conditions as types
from gpu_provisioner.api import reasons
from gpu_provisioner.cloud.chosen import CLOUD

EventType = Literal["Normal", "Warning"]

LAUNCHED = "Launched"
REGISTERED = "Registered"
INITIALIZED = "Initialized"
READY = "Ready"

STEPS = {types.LAUNCHED: LAUNCHED, types.REGISTERED: REGISTERED, types.INITIALIZED: INITIALIZED, types.READY: READY}
"""Event reason for each condition that becomes True."""

INTERNAL_ERROR = "InternalError"

EVENTS: tuple[tuple[str, str, str], ...] = (
    ("Normal", LAUNCHED, f"The {CLOUD.pool} is ready."),
    ("Normal", REGISTERED, "The Node joined and carries the Machine's labels, taints and finalizer."),
    ("Normal", INITIALIZED, "The Node is Ready, free of startup taints, and offers every requested resource."),
    ("Normal", READY, "The Machine can be used."),
    ("Normal", "LaunchInProgress", f"The {CLOUD.pool} is being ordered and created by {CLOUD.service}."),
    (
        "Normal",
        "WaitingForRequestBudget",
        f"The order of the {CLOUD.pool} waits for its turn at the request budget to {CLOUD.name}.",
    ),
    (
        "Normal",
        "PoolInMaintenance",
        f"The Node is away while its {CLOUD.pool} is being upgraded, changed or restarted, or is stopped.",
    ),
    ("Normal", "Draining", "The Machine is being deleted; pods are being evicted."),
    ("Normal", "PoolDeleting", f"The Machine is being deleted; its {CLOUD.pool} is being deleted."),
    (
        "Warning",
        INTERNAL_ERROR,
        "The provisioner fails at this Machine in an unforeseen way; its log says more. The others go on.",
    ),
    ("Warning", "<any other reason>", "Ready took on that reason: the note has the message of the condition."),
)
"""Rows of the documentation: type, reason, meaning."""

_CALM = frozenset(
    {
        reasons.LAUNCH_IN_PROGRESS,
        reasons.WAITING_FOR_TURN,
        reasons.POOL_IN_MAINTENANCE,
        reasons.DRAINING,
        reasons.POOL_DELETING,
    }
)


@dataclass(frozen=True, slots=True)
class Transition:
    """One event to record. `condition` is set when that condition became True."""

    type: EventType
    reason: str
    note: str
    condition: str = ""


def transitions(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Transition]:
    """Events for the step from one stored status to the next."""
    old = {c["type"]: c for c in before.get("conditions") or ()}
    new = {c["type"]: c for c in after.get("conditions") or ()}
    found = [
        Transition("Normal", STEPS[name], _note(name, after), name)
        for name in (*types.DEPENDENTS, types.READY)
        if _status(new, name) == types.TRUE and _status(old, name) != types.TRUE
    ]
    trouble = _trouble(old.get(types.READY, {}), new.get(types.READY, {}))
    return [*found, trouble] if trouble is not None else found


def _status(conditions: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return str((conditions.get(name) or {}).get("status") or "")


def _trouble(old: Mapping[str, Any], new: Mapping[str, Any]) -> Transition | None:
    """A new reason of Ready. Ordinary waiting after a step forward is told by that step already."""
    reason = str(new.get("reason") or "")
    if not reason or reason == old.get("reason") or new.get("status") == types.TRUE:
        return None
    forward = old.get("status") != types.TRUE
    if reason in _CALM:
        return Transition("Normal", reason, str(new.get("message") or ""))
    if forward and reason in reasons.BETWEEN_STEPS:
        return None
    return Transition("Warning", reason, str(new.get("message") or ""))


def _note(condition: str, status: Mapping[str, Any]) -> str:
    node = status.get("nodeName") or ""
    return {
        types.LAUNCHED: f"the {CLOUD.pool} is ready",
        types.REGISTERED: f"Node {node} joined",
        types.INITIALIZED: f"Node {node} is initialized",
        types.READY: f"Node {node} can be used",
    }[condition]
