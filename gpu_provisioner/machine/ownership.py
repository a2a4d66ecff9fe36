"""Whose is this agent pool? Pure.

A pool of ours carries the UID of its Machine twice, as an Azure tag and as a node label, so that the mark survives a tool that
rewrites one of them. Nothing without the mark is ever changed or deleted, whatever its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from gpu_provisioner.api import labels
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.port import Pool


class Ownership(Enum):
    """What a pool is to a Machine of the same name."""

    ABSENT = "absent"
    OURS = "ours"
    FORMER = "former"
    """Made by this provisioner for another Machine, by UID: one that had the same name before."""
    FOREIGN = "foreign"


def mark_of(pool: Pool) -> str:
    """The Machine UID that the pool was made for; "" when it carries none, or two that contradict each other."""
    found = {uid for uid in (pool.tags.get(labels.MACHINE_UID_TAG), pool.node_labels.get(labels.MACHINE_UID)) if uid}
    return found.pop() if len(found) == 1 else ""


def ownership(machine: Machine, pool: Pool | None, *, adopt_unmarked: bool = False) -> Ownership:
    """What the pool is to this Machine. A system pool is always foreign."""
    if pool is None:
        return Ownership.ABSENT
    if pool.mode == "System":
        return Ownership.FOREIGN
    mark = mark_of(pool)
    if mark:
        return Ownership.OURS if mark == machine.uid else Ownership.FORMER
    if adopt_unmarked and _made_by_predecessor(machine, pool):
        return Ownership.OURS
    return Ownership.FOREIGN


def _made_by_predecessor(machine: Machine, pool: Pool) -> bool:
    """A pool that gpu-provisioner 0.2.x made: the Machine's status names its VM, and the labels it always set agree."""
    if any(key in tags for key, tags in ((labels.MACHINE_UID_TAG, pool.tags), (labels.MACHINE_UID, pool.node_labels))):
        return False
    named = f"/virtualMachineScaleSets/aks-{machine.name}-" in (machine.status.provider_id or "")
    return named and labels.MACHINE_TYPE in pool.node_labels and _same_owner(machine.labels, pool.node_labels)


def _same_owner(wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return any(key in wanted and wanted[key] == found.get(key) for key in labels.OWNER_LABELS)


def is_managed(machine_labels: Mapping[str, str]) -> bool:
    """Whether a Machine is ours to serve: it carries one of the owner labels, with any value."""
    return any(key in machine_labels for key in labels.OWNER_LABELS)
