"""The things a reconcile can do to the world, as data: `plan` makes them, `apply` carries them out. Pure.

Each carries the precondition that makes it safe when the Snapshot was stale: a UID for deletions, a resourceVersion for changes, a
derived name for creations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
    name_of,
    namespace_of,
    uid_of,
)
from kaito_controller.nodeapi import APIS, DEFAULT, KINDS
from kaito_controller.workspace.state.records import Record

MACHINES = APIS[DEFAULT].resource

RESOURCES: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (
        *(CONFIG_MAPS, DEPLOYMENTS, JOBS, NODES, SERVICES, STATEFUL_SETS),
        *(api.resource for api in APIS.values()),
    )
}
"""By kind, for everything that an action can touch apart from the Workspace itself."""


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object. That it exists already is fine when it is ours."""

    obj: Object

    @property
    def kind(self) -> str:
        return str(self.obj["kind"])

    @property
    def orders_node(self) -> bool:
        """It costs money."""
        return self.kind in KINDS


@dataclass(frozen=True, slots=True)
class Replace:
    """Bring an existing object to what is meant, if nobody else was faster. `repair`: it had been changed behind our back."""

    live: Object
    desired: Object
    repair: bool


@dataclass(frozen=True, slots=True)
class Delete:
    """Ask for deletion of exactly this incarnation."""

    kind: str
    name: str
    namespace: str
    uid: str

    @classmethod
    def of(cls, obj: Object) -> Delete:
        return cls(str(obj["kind"]), name_of(obj), namespace_of(obj), uid_of(obj))


@dataclass(frozen=True, slots=True)
class Remember:
    """Put this on record in the Workspace's status."""

    record: Record


@dataclass(frozen=True, slots=True)
class ClaimNodes:
    """Mark all these nodes as ours, or none: (name, resourceVersion)."""

    nodes: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    """Take our mark off a node."""

    name: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the Workspace go, after a last look that no Machine is left."""


Action = Create | Replace | Delete | Remember | ClaimNodes | ReleaseNode | RemoveFinalizer


def ordered(actions: Iterable[Action]) -> list[Object]:
    """The Machines that would be created."""
    return [action.obj for action in actions if isinstance(action, Create) and action.orders_node]


def told(action: Action) -> tuple[str, str]:
    """What was done, and to which object ("" for the Workspace itself), as a log line says it."""
    match action:
        case Create():
            return "created", f"{action.kind}/{name_of(action.obj)}"
        case Replace():
            what = "put back" if action.repair else "updated"
            return what, f"{action.desired['kind']}/{name_of(action.desired)}"
        case Delete():
            return "deletion asked for", f"{action.kind}/{action.name}"
        case Remember():
            return "recorded in status", ""
        case ClaimNodes():
            return "nodes claimed", ", ".join(f"Node/{name}" for name, _ in action.nodes)
        case ReleaseNode():
            return "node released", f"Node/{action.name}"
        case RemoveFinalizer():
            return "finalizer removed", ""
