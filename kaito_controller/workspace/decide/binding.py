"""To which nodes the pods are bound: by name, or to whatever the Machines of the Workspace became. Pure.

By name is exact, and each other choice of nodes restarts every replica. Replicas that serve each on its own are therefore bound to the
ordered nodes as a whole, so that scaling and replacing a lost node touch nobody else. Names are kept where they are needed to move a
pod (a preferred node stands idle while a pod runs on one that was not chosen), and on a Deployment that has them already: changing over
is a restart too.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller_runtime.resources import Object
from kaito_controller.workloads import is_distributed, pinned_nodes
from kaito_controller.workspace.decide.nodes import Assignment
from kaito_controller.workspace.state.snapshot import NodeView, Snapshot


@dataclass(frozen=True, slots=True)
class Binding:
    """`names`: nodes by name, sorted. `on_ordered`: besides, all nodes that Machines of this Workspace became."""

    names: tuple[str, ...]
    on_ordered: bool = False


def binding(snapshot: Snapshot, assignment: Assignment) -> Binding:
    """How the pods of the workload are bound to the nodes that were chosen."""
    by_name = Binding(assignment.names)
    if not _are_copies(snapshot) or not any(_is_ordered(node, snapshot) for node in assignment.nodes):
        return by_name
    live = snapshot.existing.get(("Deployment", snapshot.name))
    if live is not None and _has_exactly(live, assignment):
        return by_name
    if live is not None and _must_move(snapshot, assignment, live):
        return by_name
    brought = tuple(node.name for node in assignment.nodes if not _is_ordered(node, snapshot))
    return Binding(brought, on_ordered=True)


def _are_copies(snapshot: Snapshot) -> bool:
    return snapshot.context.workspace.inference is not None and not is_distributed(snapshot.context)


def _is_ordered(node: NodeView, snapshot: Snapshot) -> bool:
    """It carries the labels of a Machine that was made for this Workspace."""
    return node.owner == f"{snapshot.namespace}/{snapshot.name}"


def _has_exactly(live: Object, assignment: Assignment) -> bool:
    return pinned_nodes(live) == tuple(sorted(assignment.names))


def _must_move(snapshot: Snapshot, assignment: Assignment, live: Object) -> bool:
    """As many pods as are wanted run, and one of them on an ordered node that was not chosen while a chosen node stands idle."""
    if (
        len(snapshot.busy_nodes - {""}) > snapshot.wanted.count
        or (live.get("spec") or {}).get("replicas") != snapshot.wanted.count
    ):
        return False
    chosen = set(assignment.names)
    left = [n for n in snapshot.nodes.values() if _is_ordered(n, snapshot) and n.name not in chosen]
    idle = [name for name in chosen if name not in snapshot.busy_nodes]
    return bool(idle) and any(node.name in snapshot.busy_nodes for node in left)
