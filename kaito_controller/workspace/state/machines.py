"""Machines seen from the Workspace: what one is doing, what one looks like when ordered. Pure.

Only the Machine contract is read (conditions, `status.nodeName`, finalizers, deletion), so any provisioner that keeps it will do. A
provisioner that says nothing leaves conditions absent; one that fails may keep the Machine and retry, or delete it; one that loses a
node may flip Ready or delete the Machine. Each of these ends in a `MachinePhase`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from controller_runtime.resources import Object, annotations_of, finalizers_of, is_deleting, labels_of, name_of, uid_of
from controller_runtime.untrusted import EARLIEST, integer, moment
from gpu_provisioner.api import conditions, labels
from gpu_provisioner.api import reasons as machine_reasons
from gpu_provisioner.api.wording import essence
from kaito_controller.api import patterns
from kaito_controller.api.labels import ORDERED_LABELS, SYSTEM_LABEL
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.records import MOST_ATTEMPTS
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, MachineView, Wanted

TERMINAL_REASONS = frozenset(
    {
        machine_reasons.INSTANCE_TYPE_NOT_OFFERED,
        machine_reasons.INVALID_MACHINE,
        machine_reasons.POOL_NAME_TAKEN,
    }
)
"""A provisioner that says one of these has given up on this Machine; waiting for it would only cost time."""

WAITING_REASONS = frozenset(
    {
        machine_reasons.LAUNCH_IN_PROGRESS,
        machine_reasons.WAITING_FOR_TURN,
        machine_reasons.MACHINE_NOT_LAUNCHED,
        machine_reasons.NODE_NOT_FOUND,
        machine_reasons.NODE_NOT_READY,
        machine_reasons.STARTUP_TAINTS_EXIST,
        machine_reasons.EPHEMERAL_TAINTS_EXIST,
        machine_reasons.RESOURCE_NOT_REGISTERED,
        machine_reasons.CLOUD_BUSY,
        machine_reasons.CLOUD_THROTTLED,
        "",
    }
)
"""Reasons that a healthy Machine passes through."""

QUOTED = 480
"""Characters of a Machine's message that are quoted: no more than any sentence about it has room for."""

_PLATFORM = {labels.ARCH: "amd64", labels.OS: "linux"}
DELETED_BY_OTHERS = "MachineDeleted"
TOO_LATE = "MachineTimedOut"
NODE_LOST = "NodeLost"

CAUSELESS_REASONS = WAITING_REASONS | {
    *(DELETED_BY_OTHERS, TOO_LATE, NODE_LOST),
    machine_reasons.LAUNCH_TIMEOUT,
    machine_reasons.REGISTRATION_TIMEOUT,
    machine_reasons.INITIALIZATION_TIMEOUT,
    machine_reasons.POOL_GONE,
    machine_reasons.POOL_IN_MAINTENANCE,
    machine_reasons.POOL_DELETING,
    machine_reasons.DRAINING,
    machine_reasons.NODE_DELETED,
    machine_reasons.NODE_UNHEALTHY,
}
"""Reasons that say what happened and not why; all others quote the cloud or the provisioner."""


@dataclass(frozen=True, slots=True)
class Order:
    """One Machine to create."""

    ordinal: int
    attempt: int


def owner_key(obj: Object) -> str:
    """`namespace/name` of the Workspace that a Machine or Node is labelled for, "" when it is for none."""
    found = labels_of(obj)
    name, namespace = found.get(labels.WORKSPACE), found.get(labels.WORKSPACE_NAMESPACE)
    return f"{namespace}/{name}" if name and namespace else ""


def belongs_to(machine: Object, workspace: Object) -> bool:
    """Whether a Machine labelled with the Workspace's name and namespace was made for *this* Workspace and not for a namesake.

    A Machine of ours records the UID. One without a record (made by KAITO itself, before this controller took over) counts as
    ours unless it is older than the Workspace.
    """
    recorded = annotations_of(machine).get(naming.WORKSPACE_UID)
    if recorded is not None:
        return recorded == uid_of(workspace)
    return _created(machine) >= _created(workspace)


def read_machine(machine: Object, *, now: datetime, limits: Limits, fresh: datetime | None = EARLIEST) -> MachineView:
    """`fresh`: since when the cache of Machines has been current without a break; None while it is not, and then nothing is late.

    The phase of one of our Machines, and the cause to show for it."""
    found = _conditions(machine)
    phase, reason, message, since = _phase(machine, found, now, limits, fresh)
    marks = annotations_of(machine)
    return MachineView(
        name=name_of(machine),
        uid=uid_of(machine),
        ordinal=_number(marks.get(naming.MACHINE_ORDINAL)),
        attempt=_number(marks.get(naming.MACHINE_ATTEMPT)),
        phase=phase,
        created_at=_created(machine),
        node_name=str((machine.get("status") or {}).get("nodeName") or ""),
        reason=reason,
        message=message,
        since=since,
        touched=bool(found) or bool(finalizers_of(machine)),
        initialized=_is_true(found, conditions.INITIALIZED),
    )


def build_machine(workspace: Object, order: Order, wanted: Wanted) -> Object:
    """The Machine for one node: what gpu-provisioner and karpenter providers read, plus three annotations that say whose it is.

    The storage request is a bare number: Azure's provisioner 0.2.x hands the number to AKS as it is and garbles a suffixed one, and
    ours reads a bare number as GB.
    """
    meta = workspace["metadata"]
    name = naming.machine_name(uid_of(workspace), order.ordinal, order.attempt)
    return {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "metadata": {
            "name": name,
            "labels": {
                **node_labels(wanted.match_labels),
                labels.PROVISIONER_NAME: labels.DEFAULT_PROVISIONER,
                labels.WORKSPACE: meta["name"],
                labels.WORKSPACE_NAMESPACE: meta["namespace"],
            },
            "annotations": {
                naming.WORKSPACE_UID: uid_of(workspace),
                naming.MACHINE_ORDINAL: str(order.ordinal),
                naming.MACHINE_ATTEMPT: str(order.attempt),
            },
        },
        "spec": {
            "machineTemplateRef": {"name": name},
            "requirements": [
                _is_in(labels.INSTANCE_TYPE, wanted.instance_type),
                _is_in(labels.PROVISIONER_NAME, labels.DEFAULT_PROVISIONER),
                _is_in(labels.MACHINE_TYPE, labels.MACHINE_TYPE_GPU),
                *(
                    _is_in(key, value)
                    for key, value in sorted({**_PLATFORM, **ordered_labels(wanted.match_labels)}.items())
                ),
            ],
            "resources": {"requests": {labels.STORAGE: str(wanted.disk_gb)}},
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        },
    }


def ordered_labels(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those that become requirements: kubelet and cloud put them on the Node, nobody else may."""
    return {key: value for key, value in wanted.items() if key in ORDERED_LABELS}


def node_labels(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those that are written onto the Node: the author's own. A Workspace that is older than the rule may name others."""
    return {key: value for key, value in wanted.items() if not patterns.fits(SYSTEM_LABEL, key)}


def _is_in(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": [value]}


_Verdict = tuple[MachinePhase, str, str, datetime | None]


def _phase(
    machine: Object, found: Mapping[str, Mapping[str, Any]], now: datetime, limits: Limits, fresh: datetime | None
) -> _Verdict:
    cause = _cause(found)
    since = moment(cause.get("lastTransitionTime"))
    reason, message = str(cause.get("reason") or ""), essence(str(cause.get("message") or ""), QUOTED)
    if is_deleting(machine):
        gone_at = moment(machine["metadata"]["deletionTimestamp"])
        return MachinePhase.DELETING, reason or DELETED_BY_OTHERS, message or "no cause was given", gone_at
    if reason in TERMINAL_REASONS:
        return MachinePhase.FAILED, reason, message, since
    if _is_true(found, conditions.READY) and (machine.get("status") or {}).get("nodeName"):
        return MachinePhase.READY, "", "", moment(found[conditions.READY].get("lastTransitionTime"))
    if _is_true(found, conditions.INITIALIZED):
        limit_s, phase = limits.node_lost_timeout_s, MachinePhase.DEGRADED
        start = None if reason == machine_reasons.POOL_IN_MAINTENANCE else since
    else:
        limit_s, phase, start = limits.machine_timeout_s, MachinePhase.PENDING, _created(machine)
    counted = None if fresh is None or start is None else max(start, fresh)
    if counted is not None and now - counted >= timedelta(seconds=limit_s):
        last = f"; last word: {reason} {message}".rstrip() if reason or message else ""
        told = "was Ready, and has not been for" if phase is MachinePhase.DEGRADED else "not Ready within"
        return MachinePhase.FAILED, TOO_LATE, f"{told} {limit_s:.0f} s{last}", since
    return phase, reason, message, since


def _cause(found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The condition that explains the state: the first step that failed, since the summary may quote a later one."""
    for step in (*conditions.DEPENDENTS, conditions.READY):
        if found.get(step, {}).get("status") == "False":
            return found[step]
    ready = found.get(conditions.READY, {})
    return ready if ready.get("reason") == machine_reasons.POOL_IN_MAINTENANCE else {}


def _conditions(machine: Object) -> dict[str, Mapping[str, Any]]:
    entries = (machine.get("status") or {}).get("conditions") or []
    return {str(entry.get("type")): entry for entry in entries if isinstance(entry, Mapping)}


def _is_true(found: Mapping[str, Mapping[str, Any]], step: str) -> bool:
    return found.get(step, {}).get("status") == "True"


def _created(obj: Object) -> datetime:
    return moment(obj["metadata"].get("creationTimestamp")) or EARLIEST


def _number(text: str | None) -> int | None:
    found = integer(text, least=-1, most=MOST_ATTEMPTS, default=-1)
    return found if found >= 0 else None
