"""What is left over, and may it go? PURE.

A suspect is removed only when it has been one for the safe age, by our own observation. Pools need our tag, because another provisioner
copies labels that a tenant wrote onto its pools; Nodes need an owner reference to a Machine, and an owner label; a Machine needs to have
had a pool. Everything else is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controller_runtime.resources import Resource
from gpu_provisioner.api import labels
from gpu_provisioner.api.dialect import KINDS
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.cloud.port import Pool
from gpu_provisioner.garbage.snapshot import GarbageSnapshot, MachineFact
from gpu_provisioner.machine.ownership import has_owner, mark_of
from gpu_provisioner.machine.snapshot import NodeView


@dataclass(frozen=True, slots=True)
class RemovePool:
    """A pool with our tag whose Machine does not exist."""

    pool: Pool
    uid: str

    @property
    def key(self) -> str:
        return f"pool:{self.pool.name}:{self.uid}"


@dataclass(frozen=True, slots=True)
class GiveUpMachine:
    """A launched Machine without a pool and without a ready Node."""

    name: str
    uid: str
    resource: Resource = MACHINES

    @property
    def key(self) -> str:
        return f"machine:{self.uid}"


@dataclass(frozen=True, slots=True)
class ReleaseOrphan:
    """A Node of ours with neither a Machine nor, it seems, the pool of this name."""

    node: NodeView
    pool: str

    @property
    def key(self) -> str:
        return f"node:{self.node.uid}"


Suspect = RemovePool | GiveUpMachine | ReleaseOrphan


def suspects(snapshot: GarbageSnapshot) -> tuple[Suspect, ...]:
    """Everything that has no counterpart at this moment."""
    return (*_pools(snapshot), *_machines(snapshot), *_nodes(snapshot))


def plan_garbage(snapshot: GarbageSnapshot, safe_age_s: float) -> tuple[Suspect, ...]:
    """The suspects that are old enough to act on."""
    return tuple(s for s in suspects(snapshot) if snapshot.ages.get(s.key, -1.0) >= safe_age_s)


def _pools(snapshot: GarbageSnapshot) -> Iterator[Suspect]:
    alive = {machine.uid for machine in snapshot.machines}
    for pool in snapshot.pools:
        uid = pool.tags.get(labels.MACHINE_UID_TAG, "")
        if uid and uid == mark_of(pool) and uid not in alive and pool.mode != "System" and not pool.is_deleting:
            yield RemovePool(pool, uid)


def _machines(snapshot: GarbageSnapshot) -> Iterator[Suspect]:
    present = {pool.name for pool in snapshot.pools}
    ready = {node.labels.get(labels.POOL) for node in snapshot.nodes if node.ready}
    for machine in snapshot.machines:
        if _could_be_given_up(machine) and machine.name not in present | ready:
            yield GiveUpMachine(machine.name, machine.uid, machine.resource)


def _could_be_given_up(machine: MachineFact) -> bool:
    return machine.managed and machine.launched and not machine.deleting


def _nodes(snapshot: GarbageSnapshot) -> Iterator[Suspect]:
    alive = {machine.uid for machine in snapshot.machines}
    present = {pool.name for pool in snapshot.pools}
    for node in snapshot.nodes:
        owner = _owner(node)
        if owner is None or str(owner.get("uid")) in alive or node.ready or not has_owner(node.labels):
            continue
        pool = node.labels.get(labels.POOL) or str(owner.get("name") or "")
        if pool not in present:
            yield ReleaseOrphan(node, pool)


def _owner(node: NodeView) -> Mapping[str, Any] | None:
    """The Machine that the Node was registered for, by its owner reference: labels of a Node may come from what a tenant wrote."""
    return next((r for r in node.owner_references if r.get("kind") in KINDS and _group(r) == labels.GROUP), None)


def _group(reference: Mapping[str, Any]) -> str:
    return str(reference.get("apiVersion") or "").partition("/")[0]
