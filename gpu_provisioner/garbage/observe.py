"""Read all pools (one LIST), all Machines and all Nodes (from the caches) once, and how long each suspect has been one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from controller_runtime.cache.informer import Lister
from gpu_provisioner.api import conditions
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.garbage.plan import suspects
from gpu_provisioner.garbage.snapshot import GarbageSnapshot, MachineFact
from gpu_provisioner.machine.memory import Memory
from gpu_provisioner.machine.ownership import DEFAULT_CLASSES, is_managed
from gpu_provisioner.machine.snapshot import NodeView

_MEMORY_KEY = "garbage"


@dataclass(frozen=True, slots=True)
class GarbageObserver:
    """`memory` is the collector's own; the suspects' clocks live in it."""

    machines: Sequence[Lister]
    nodes: Lister
    view: PoolView
    memory: Memory
    node_classes: Collection[tuple[str, str]] = DEFAULT_CLASSES

    def observe(self) -> GarbageSnapshot:
        """Raises CloudError when the pools cannot be listed; nothing may be concluded then."""
        # Pools first: a Machine made in between is then known when its pool is judged.
        pools = tuple(self.view.read_all())
        snapshot = GarbageSnapshot(
            pools=pools,
            machines=tuple(self._fact(Machine.from_object(obj)) for cache in self.machines for obj in cache.list()),
            nodes=tuple(NodeView.from_object(node) for node in self.nodes.list()),
        )
        ages = self.memory.ages(_MEMORY_KEY, {suspect.key for suspect in suspects(snapshot)})
        return replace(snapshot, ages=ages)

    def _fact(self, machine: Machine) -> MachineFact:
        return MachineFact(
            name=machine.name,
            uid=machine.uid,
            managed=is_managed(machine, self.node_classes),
            launched=machine.is_true(conditions.LAUNCHED),
            deleting=machine.deleting,
            resource=machine.dialect.resource,
        )
