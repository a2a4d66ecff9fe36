"""Everything the garbage collector may look at, frozen. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller_runtime.resources import Resource
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.cloud.port import Pool
from gpu_provisioner.machine.snapshot import NodeView


@dataclass(frozen=True, slots=True)
class MachineFact:
    """What matters of a Machine here."""

    name: str
    uid: str
    managed: bool
    launched: bool
    deleting: bool
    resource: Resource = MACHINES
    """Where the object lives."""


@dataclass(frozen=True, slots=True)
class GarbageSnapshot:
    """All pools of the cluster, all Machines, all Nodes. `ages`: seconds that each suspect has been seen as such, by its key."""

    pools: tuple[Pool, ...] = ()
    machines: tuple[MachineFact, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    ages: Mapping[str, float] = field(default_factory=dict)
