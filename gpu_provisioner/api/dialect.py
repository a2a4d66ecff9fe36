"""How the two node APIs say the same: names of conditions and reasons, the label of the pool, what a failing step is called.

Inside the provisioner there is one vocabulary, that of the Machine. A dialect translates at the edge, when an object is read and when its
status is written, and both ways lose nothing that is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller_runtime.resources import Resource
from gpu_provisioner.api import conditions, labels, node_claim, reasons
from gpu_provisioner.api.labels import MACHINES


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """One node API; there is one object of each. `conditions` and `reasons` map our names to its own; what is not in them is the same."""

    name: str
    resource: Resource
    pool_label: str
    pool_default: str
    conditions: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    is_kubernetes_style: bool = False
    """Conditions are Kubernetes' own: always with reason, message and observedGeneration, and Unknown until a step has succeeded."""

    @property
    def kind(self) -> str:
        """Of the objects."""
        return self.resource.kind

    @property
    def api_version(self) -> str:
        """Of the objects."""
        return self.resource.api_version

    @property
    def condition_types(self) -> frozenset[str]:
        """Those that we write, by the names they have there."""
        return frozenset(self.conditions.get(name, name) for name in conditions.CONDITION_TYPES)

    def written(self, ours: str, status: str, reason: str, message: str, generation: int) -> dict[str, Any]:
        """One of our conditions (its type, `ours`) as it is stored, without its time."""
        name = self.conditions.get(ours, ours)
        if not self.is_kubernetes_style:
            words = {"reason": reason, "message": message}
            return {**{key: value for key, value in words.items() if value}, "status": status, "type": name}
        unknown = (
            status == conditions.FALSE and ours in conditions.DEPENDENTS and reason != reasons.MULTIPLE_NODES_FOUND
        )
        return {
            "type": name,
            "status": conditions.UNKNOWN if unknown else status,
            "reason": self.reasons.get(reason, reason) or name,
            "message": message,
            "observedGeneration": generation,
        }

    def read(self, stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Stored conditions in our vocabulary; without those that nobody has judged yet."""
        if not self.is_kubernetes_style:
            return [dict(entry) for entry in stored]
        return [self._read_one(entry) for entry in stored if entry.get("reason") != node_claim.AWAITING]

    def _read_one(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        types = {theirs: ours for ours, theirs in self.conditions.items()}
        words = {theirs: ours for ours, theirs in self.reasons.items()}
        name = types.get(str(entry.get("type")), str(entry.get("type")))
        reason, status = str(entry.get("reason") or ""), entry.get("status")
        if status == conditions.UNKNOWN and name in conditions.DEPENDENTS:
            status = conditions.FALSE
        said = "" if status == conditions.TRUE else words.get(reason, reason)
        return {**entry, "type": name, "status": status, "reason": said}


MACHINE = Dialect("machine", MACHINES, labels.PROVISIONER_NAME, labels.DEFAULT_PROVISIONER)
NODE_CLAIM = Dialect(
    "nodeclaim",
    node_claim.NODE_CLAIMS,
    node_claim.NODE_POOL,
    node_claim.KAITO_POOL,
    conditions={
        conditions.LAUNCHED: node_claim.LAUNCHED,
        conditions.REGISTERED: node_claim.REGISTERED,
        conditions.INITIALIZED: node_claim.INITIALIZED,
    },
    reasons={
        reasons.MACHINE_NOT_LAUNCHED: "NodeClaimNotLaunched",
        reasons.INVALID_MACHINE: "InvalidNodeClaim",
    },
    is_kubernetes_style=True,
)
DIALECTS = (MACHINE, NODE_CLAIM)
KINDS = frozenset(dialect.kind for dialect in DIALECTS)


def dialect_of(obj: Mapping[str, Any]) -> Dialect:
    """By the kind of the object; that of the Machine for anything else."""
    return NODE_CLAIM if obj.get("kind") == node_claim.KIND else MACHINE


def neutral_status(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The status of an object in our vocabulary."""
    status = obj.get("status") if isinstance(obj.get("status"), Mapping) else {}
    found = status.get("conditions") if status else None
    known = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
    return {**(status or {}), "conditions": dialect_of(obj).read(known)} if status else {}
