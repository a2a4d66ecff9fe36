"""Node objects as the plugin reads them: Machines of `karpenter.sh/v1alpha5` and NodeClaims of `karpenter.sh/v1`, in one form.

The only module of the plugin that knows their shapes: conditions, `nodeName` and `providerID`, by which any other node API is read too.
Nothing is ordered or changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from controller_runtime.resources import Object, is_deleting, name_of
from controller_runtime.untrusted import entries, mapping, moment
from gpu_provisioner.api import conditions, reasons
from kaito_controller.nodeapi import APIS

KINDS = tuple(api.resource for api in APIS.values())
"""Of all node APIs, the default one first."""
GPU = "nvidia.com/gpu"
"""The resource that the device plugin puts on a node."""
_PREFIX = "Machine"
"""What the conditions of a Machine have before the names that they have on a NodeClaim."""
_STEPS = tuple(step.removeprefix(_PREFIX) for step in conditions.DEPENDENTS)
LAUNCHED = conditions.LAUNCHED.removeprefix(_PREFIX)
READY = conditions.READY

REASONS = {entry.reason: entry for entry in reasons.REASONS}
"""Cause and cure of each reason of the Machine contract."""
WAITING = reasons.ON_THE_WAY | {
    "",
    reasons.DRAINING,
    reasons.POOL_DELETING,
    "AwaitingReconciliation",
    "UnhealthyDependents",
    "ReconcilingDependents",
}
"""Reasons that a node object passes through while nothing is wrong; the last three are Karpenter's."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One condition."""

    status: str = ""
    reason: str = ""
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class NodeObject:
    """One ordered node."""

    kind: str
    name: str
    created: datetime | None
    deleting_since: datetime | None
    node_name: str
    provider_id: str
    conditions: dict[str, Shown]
    """By type, without the prefix `Machine`."""

    @property
    def is_ready(self) -> bool:
        """Its node can be used."""
        return self.deleting_since is None and self.conditions.get(READY, Shown()).status == "True"

    @property
    def is_launched(self) -> bool:
        """The cloud has made what was ordered."""
        return self.conditions.get(LAUNCHED, Shown()).status == "True"

    @property
    def blocking(self) -> Shown:
        """The first step that is not done yet, else the summary; empty when nothing was said."""
        found = (self.conditions.get(step, Shown()) for step in (*_STEPS, READY))
        return next((shown for shown in found if shown.status not in ("", "True")), Shown())

    @property
    def in_trouble(self) -> bool:
        """Something is wrong, by the word of whoever provisions it."""
        return not self.is_ready and self.blocking.reason not in WAITING


def read_node_object(obj: Object) -> NodeObject:
    """The one form of both kinds."""
    meta, status = mapping(obj.get("metadata")), mapping(obj.get("status"))
    return NodeObject(
        kind=str(obj.get("kind") or KINDS[0].kind),
        name=name_of(obj),
        created=moment(meta.get("creationTimestamp")),
        deleting_since=moment(meta.get("deletionTimestamp")) if is_deleting(obj) else None,
        node_name=str(status.get("nodeName") or ""),
        provider_id=str(status.get("providerID") or ""),
        conditions={
            str(entry.get("type")).removeprefix(_PREFIX): Shown(
                str(entry.get("status") or ""),
                str(entry.get("reason") or ""),
                str(entry.get("message") or ""),
                moment(entry.get("lastTransitionTime")),
            )
            for entry in entries(status.get("conditions"), 32)
        },
    )
