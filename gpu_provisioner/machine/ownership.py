"""Whose is this pool? Pure.

A pool of ours carries the UID of its Machine twice, as a tag and as a node label, so that the mark survives a tool that
rewrites one of them. Nothing without the mark is ever changed or deleted, whatever its name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum

from gpu_provisioner.api import labels, node_claim
from gpu_provisioner.api.dialect import MACHINE
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import Pool

DEFAULT_CLASSES = (node_claim.KAITO_NODE_CLASS, CLOUD.node_class)
"""Node classes (group, kind) whose NodeClaims are answered."""


class Ownership(Enum):
    """What a pool is to a Machine of the same name."""

    NO_POOL = "no pool"
    """No pool was seen, so that it is nobody's; whether there is none is another question (`Gone`)."""
    OURS = "ours"
    FORMER = "former"
    """Made by this provisioner for another Machine, by UID: one that had the same name before."""
    UNMARKED = "unmarked"
    """Made for this Machine, it seems, by another provisioner, or robbed of its mark: not ours to delete, and not to be forgotten."""
    FOREIGN = "foreign"


def mark_of(pool: Pool) -> str:
    """The Machine UID that the pool was made for; "" when it carries none, or two that contradict each other."""
    found = _marks(pool)
    return found.pop() if len(found) == 1 else ""


def ownership(machine: Machine, pool: Pool | None, *, adopt_unmarked: bool = False) -> Ownership:
    """What the pool is to this Machine. A system pool is always foreign."""
    if pool is None:
        return Ownership.NO_POOL
    mark = mark_of(pool)
    if mark and pool.mode != "System":
        return Ownership.OURS if mark == machine.uid else Ownership.FORMER
    if adopt_unmarked and _made_by_predecessor(machine, pool):
        return Ownership.OURS
    return Ownership.UNMARKED if _points_at(machine, pool) else Ownership.FOREIGN


def _made_by_predecessor(machine: Machine, pool: Pool) -> bool:
    """A pool that gpu-provisioner 0.2.x made: the Machine's status names its VM, and the labels it always set agree."""
    if pool.mode == "System" or _marks(pool):
        return False
    made_so = labels.MACHINE_TYPE in pool.node_labels and _same_owner(machine.labels, pool.node_labels)
    return made_so and _names_vm_of_pool(machine)


def _points_at(machine: Machine, pool: Pool) -> bool:
    """Whether anything says that this pool is what became of the Machine. A pool in creation has no VM yet, only labels."""
    return machine.uid in _marks(pool) or _names_vm_of_pool(machine) or _same_owner(machine.labels, pool.node_labels)


def _marks(pool: Pool) -> set[str]:
    return {uid for uid in (pool.tags.get(labels.MACHINE_UID_TAG), pool.node_labels.get(labels.MACHINE_UID)) if uid}


def _names_vm_of_pool(machine: Machine) -> bool:
    return CLOUD.vm_of_pool.format(pool=machine.name) in (machine.status.provider_id or "")


def _same_owner(wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return any(key in wanted and wanted[key] == found.get(key) for key in labels.OWNER_LABELS)


def has_owner(found: Mapping[str, str]) -> bool:
    """Whether these labels of a Machine, NodeClaim or Node say for whom it is: one of the owner labels, with any value."""
    return any(key in found for key in labels.OWNER_LABELS)


def is_managed(machine: Machine, node_classes: Collection[tuple[str, str]] = DEFAULT_CLASSES) -> bool:
    """Whether a Machine or NodeClaim is ours to serve.

    A Machine carries an owner label. A NodeClaim is of one of `node_classes`, and carries an owner label unless the class is our own:
    the cloud's, which KAITO names, is also that of Karpenter's provider for the cloud.
    """
    if machine.dialect is MACHINE:
        return has_owner(machine.labels)
    if machine.node_class not in node_classes:
        return False
    return machine.node_class == node_claim.KAITO_NODE_CLASS or has_owner(machine.labels)
