"""What a Node needs from its Machine, and what still keeps it from being initialized. Pure.

Labels, annotations, taints and startup taints are put on a Node once, when it is registered; afterwards they belong to the Node,
so that a startup taint that its owner removed is not put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpu_provisioner.api import labels, reasons
from gpu_provisioner.api.dialect import KINDS
from gpu_provisioner.api.machine import Machine, Taint
from gpu_provisioner.machine.quantity import is_positive
from gpu_provisioner.machine.snapshot import NodeView

_NOT_COPIED = ("kubectl.kubernetes.io/", "NodeHeartBeatTimeStamp")
_EPHEMERAL = (
    ("node.kubernetes.io/not-ready", "NoSchedule"),
    ("node.kubernetes.io/unreachable", "NoSchedule"),
    ("node.cloudprovider.kubernetes.io/uninitialized", "NoSchedule"),
)


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a Machine is not initialized yet."""

    reason: str
    message: str


def synced(machine: Machine, node: NodeView) -> NodeView:
    """The Node as it should be: registered, guarded by our finalizer, owned by the Machine; initialized once nothing blocks."""
    if not node.is_registered:
        node = replace(
            node,
            labels={**node.labels, **_own_labels(machine)},
            annotations={**node.annotations, **_copied(machine.annotations)},
            taints=_with_taints(node.taints, (*machine.spec.taints, *machine.spec.startup_taints)),
        )
    marks = {labels.REGISTERED: "true"}
    if blocker(machine, node) is None:
        marks[labels.INITIALIZED] = "true"
    return replace(
        node,
        labels={**node.labels, **marks},
        finalizers=_with(node.finalizers, labels.FINALIZER),
        owner_references=_owned(machine, node.owner_references),
    )


def _own_labels(machine: Machine) -> dict[str, str]:
    """The Machine's labels, without those by which others say what the Node is, and without the marks that came from the pool."""
    return {
        k: v
        for k, v in machine.labels.items()
        if k == machine.dialect.pool_label or not (k in labels.POOL_MARKS or labels.SYSTEM_LABEL.fullmatch(k))
    }


@dataclass(frozen=True, slots=True)
class NodePatch:
    """A patch of a Node. `additive`: strategic, only adds, and needs no more than that it is still the same Node (UID); otherwise a
    merge patch that replaces whole lists and is bound to the version that was read."""

    body: dict[str, Any]
    additive: bool


def sync_patch(machine: Machine, node: NodeView) -> NodePatch | None:
    """What makes the Node as `synced` says; None when it is already so.

    Kubelets and cloud controllers write to a Node all the time while it joins; adding instead of replacing wherever that is enough
    keeps us from losing race after race against them.
    """
    want = synced(machine, node)
    meta: dict[str, Any] = {}
    if changed := _changed(node.labels, want.labels):
        meta["labels"] = changed
    if changed := _changed(node.annotations, want.annotations):
        meta["annotations"] = changed
    added_owners = want.owner_references[len(node.owner_references) :]
    additive = want.taints == node.taints and (*node.owner_references, *added_owners) == want.owner_references
    if want.finalizers != node.finalizers and not node.deleting:
        meta["finalizers"] = [labels.FINALIZER] if additive else list(want.finalizers)
    if want.owner_references != node.owner_references:
        meta["ownerReferences"] = list(added_owners if additive else want.owner_references)
    spec = {} if want.taints == node.taints else {"spec": {"taints": list(want.taints)}}
    if not meta and not spec:
        return None
    bound = {"uid": node.uid} if additive else {"resourceVersion": node.resource_version}
    return NodePatch({"metadata": {**meta, **bound}, **spec}, additive)


def blocker(machine: Machine, node: NodeView) -> Blocker | None:
    """The first thing that keeps the Machine from being initialized on this Node, in the order of the contract."""
    if not node.ready:
        return Blocker(reasons.NODE_NOT_READY, "Node status is NotReady")
    for taint in machine.spec.startup_taints:
        if _has_taint(node, taint.key, taint.effect):
            return Blocker(reasons.STARTUP_TAINTS_EXIST, f'StartupTaint "{_show(taint)}" still exists')
    for key, effect in _EPHEMERAL:
        if _has_taint(node, key, effect):
            return Blocker(reasons.EPHEMERAL_TAINTS_EXIST, f'KnownEphemeralTaint "{key}:{effect}" still exists')
    for name, amount in machine.spec.resources.requests.items():
        if name != labels.STORAGE and is_positive(amount) and not is_positive(node.allocatable.get(name, 0)):
            return Blocker(reasons.RESOURCE_NOT_REGISTERED, f'Resource "{name}" was requested but not registered')
    return None


def _show(taint: Taint) -> str:
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"


def _has_taint(node: NodeView, key: str, effect: str) -> bool:
    return any(t.get("key") == key and t.get("effect") == effect for t in node.taints)


def _copied(annotations: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in annotations.items() if not k.startswith(_NOT_COPIED)}


def _with_taints(existing: tuple[Mapping[str, Any], ...], wanted: tuple[Taint, ...]) -> tuple[Mapping[str, Any], ...]:
    there = {(t.get("key"), t.get("effect")) for t in existing}
    added = []
    for taint in wanted:
        if (taint.key, taint.effect) not in there:
            there.add((taint.key, taint.effect))
            added.append({"key": taint.key, "effect": taint.effect, **({"value": taint.value} if taint.value else {})})
    return (*existing, *added)


def _with(items: tuple[str, ...], item: str) -> tuple[str, ...]:
    return items if item in items else (*items, item)


def _owned(machine: Machine, existing: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    if any(r.get("uid") == machine.uid for r in existing):
        return existing
    kept = tuple(r for r in existing if r.get("kind") not in ("Provisioner", "NodePool", *KINDS))
    reference = {
        "apiVersion": machine.dialect.api_version,
        "kind": machine.dialect.kind,
        "name": machine.name,
        "uid": machine.uid,
        "blockOwnerDeletion": True,
    }
    return (*kept, reference)


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in new.items() if old.get(k) != v}
