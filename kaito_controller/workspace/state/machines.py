"""Ordered nodes seen from the Workspace: what one is doing, what one looks like when ordered. Pure.

The object that orders a node is called a Machine here, as in the condition `MachineReady`, whatever its API calls it. What its status says
is read by its API (`nodeapi`); what that means for the Workspace, and when it is too late, is said here, and is the same for all of them.
Each state ends in a `MachinePhase`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller_runtime.resources import Object, annotations_of, finalizers_of, is_deleting, name_of, uid_of
from controller_runtime.untrusted import EARLIEST, integer, moment
from kaito_controller.api import capacity, patterns
from kaito_controller.api.labels import ORDERED_LABELS, SYSTEM_LABEL
from kaito_controller.nodeapi import APIS, DEFAULT, KINDS, api_of
from kaito_controller.nodeapi.port import NodeApi, NodeOrder, NodeTerms, Reasons, Report
from kaito_controller.nodeapi.vocabulary import ASK_AGAIN, is_spot_order
from kaito_controller.nodeapi.vocabulary import owner_key as owner_key
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.candidates import candidate_of
from kaito_controller.workspace.state.records import MOST_ATTEMPTS
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, MachineView, Wanted

NODE_LOST = "NodeLost"
SPOT_EVICTED = "SpotEvicted"
"""A spot node that its cloud took back; does not count as a failed attempt."""
_DELETED, _TIMED_OUT = "Deleted", "TimedOut"
_OURS = frozenset({NODE_LOST, SPOT_EVICTED, *(f"{kind}{what}" for kind in KINDS for what in (_DELETED, _TIMED_OUT))})
"""Such as MachineDeleted and NodeClaimTimedOut."""


def deleted_by_others(kind: str) -> str:
    """Reason of an order of this kind that went without a word."""
    return f"{kind}{_DELETED}"


@dataclass(frozen=True, slots=True)
class Order:
    """One Machine to create."""

    ordinal: int
    attempt: int
    request: str = ""
    """Identity of the request to try again that this order answers; "" for none."""


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
    api = api_of(machine)
    report = api.read(machine)
    phase, reason, message, since = _phase(machine, report, api.reasons, now, limits, fresh)
    marks = annotations_of(machine)
    return MachineView(
        name=name_of(machine),
        uid=uid_of(machine),
        ordinal=_number(marks.get(naming.MACHINE_ORDINAL)),
        attempt=_number(marks.get(naming.MACHINE_ATTEMPT)),
        phase=phase,
        created_at=_created(machine),
        node_name=report.node_name,
        reason=reason,
        message=message,
        since=since,
        touched=report.told or bool(finalizers_of(machine)),
        initialized=report.initialized,
        kind=api.kind,
        spot=is_spot_order(machine),
        candidate=candidate_of(machine),
    )


def reasons_of(machine: MachineView) -> Reasons:
    """The vocabulary of the API by which it was ordered."""
    return api_of({"kind": machine.kind}).reasons


def is_unavailable(machine: MachineView) -> bool:
    """It was refused for its instance type or capacity type, so that another one may be had."""
    return not machine.initialized and reasons_of(machine).is_unavailable(machine.reason, machine.message)


def says_why(machine: MachineView) -> bool:
    """Its reason quotes the cloud or the provisioner, instead of only naming what happened."""
    return machine.reason not in _OURS | reasons_of(machine).causeless


def build_machine(
    workspace: Object, order: Order, wanted: Wanted, api: NodeApi | None = None, terms: NodeTerms | None = None
) -> Object:
    """The object that orders one node, with the annotations that say whose it is. `api`: the default one when not given."""
    meta = workspace["metadata"]
    return (api or APIS[DEFAULT]).build(
        NodeOrder(
            name=naming.machine_name(uid_of(workspace), order.ordinal, order.attempt),
            workspace=meta["name"],
            namespace=meta["namespace"],
            instance_type=wanted.instance_type,
            labels=node_labels(wanted.match_labels),
            requirements=_requirements(workspace, wanted),
            annotations={
                naming.WORKSPACE_UID: uid_of(workspace),
                naming.MACHINE_ORDINAL: str(order.ordinal),
                naming.MACHINE_ATTEMPT: str(order.attempt),
                **({ASK_AGAIN: order.request} if order.request else {}),
            },
            disk_gb=wanted.disk_gb,
            terms=terms or NodeTerms(),
        )
    )


def orders_spot(workspace: Object, wanted: Wanted) -> bool:
    """Whether the nodes that are ordered now are spot nodes."""
    return _requirements(workspace, wanted).get(capacity.LABEL) == capacity.SPOT


def _requirements(workspace: Object, wanted: Wanted) -> dict[str, str]:
    return {**ordered_labels(wanted.match_labels), **_capacity(workspace, wanted)}


def _capacity(workspace: Object, wanted: Wanted) -> dict[str, str]:
    """The capacity type that is ordered now; the one that the author asks for first where nothing was chosen."""
    found = wanted.capacity_type or next(iter(capacity.capacity_types(annotations_of(workspace))), "")
    return {capacity.LABEL: found} if found else {}


def ordered_labels(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those that become requirements: kubelet and cloud put them on the Node, nobody else may."""
    return {key: value for key, value in wanted.items() if key in ORDERED_LABELS}


def node_labels(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those that are written onto the Node: the author's own. A Workspace that is older than the rule may name others."""
    return {key: value for key, value in wanted.items() if not patterns.fits(SYSTEM_LABEL, key)}


_Verdict = tuple[MachinePhase, str, str, datetime | None]


def _phase(
    machine: Object, report: Report, words: Reasons, now: datetime, limits: Limits, fresh: datetime | None
) -> _Verdict:
    reason, message, since = report.reason, report.message, report.since
    if is_deleting(machine):
        gone_at = moment(machine["metadata"]["deletionTimestamp"])
        return (
            MachinePhase.DELETING,
            reason or deleted_by_others(api_of(machine).kind),
            message or "no cause was given",
            gone_at,
        )
    if reason in words.terminal:
        return MachinePhase.FAILED, reason, message, since
    if report.ready:
        return MachinePhase.READY, "", "", report.ready_since
    if report.initialized:
        limit_s, phase = limits.node_lost_timeout_s, MachinePhase.DEGRADED
        start = None if reason in words.maintenance else since
    else:
        limit_s, phase, start = limits.machine_timeout_s, MachinePhase.PENDING, _created(machine)
    counted = None if fresh is None or start is None else max(start, fresh)
    if counted is not None and now - counted >= timedelta(seconds=limit_s):
        last = f"; last word: {reason} {message}".rstrip() if reason or message else ""
        told = "was Ready, and has not been for" if phase is MachinePhase.DEGRADED else "not Ready within"
        return MachinePhase.FAILED, f"{api_of(machine).kind}{_TIMED_OUT}", f"{told} {limit_s:.0f} s{last}", since
    return phase, reason, message, since


def _created(obj: Object) -> datetime:
    return moment(obj["metadata"].get("creationTimestamp")) or EARLIEST


def _number(text: str | None) -> int | None:
    found = integer(text, least=-1, most=MOST_ATTEMPTS, default=-1)
    return found if found >= 0 else None
