"""Which nodes and Machines a Workspace uses, keeps, orders and gives back. Pure.

`count` places are filled in this order: preferred nodes, then what is already ours (claimed nodes and Machines, pending ones too), then
free nodes that match, then new Machines, all at once. A node made by a Machine belongs to that Machine's Workspace; a node that a user
brought belongs to whoever claimed it (an annotation, written with the node's resourceVersion as precondition), so that equal label
selectors never put two Workspaces on one GPU.

Which attempt at a Machine is made when, is decided in `attempts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from controller_runtime.resources import uid_of
from kaito_controller.catalog.offer import Shortage, shortage
from kaito_controller.workspace.decide.attempts import (
    Waiting,
    attempt_of,
    has_ended,
    next_orders,
    record_failures,
    removable,
    sightings,
)
from kaito_controller.workspace.decide.candidates import CandidateStep, after_failures, step
from kaito_controller.workspace.decide.eligibility import is_wanted_type, obstacle, passed_over
from kaito_controller.workspace.state.candidates import Passed
from kaito_controller.workspace.state.caps import Excess, excess
from kaito_controller.workspace.state.machines import Order, orders_spot
from kaito_controller.workspace.state.records import Failure
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, NodeView, Snapshot


@dataclass(frozen=True, slots=True)
class Assignment:
    """The answer. All tuples are sorted by name or ordinal, so that equal worlds give equal answers."""

    nodes: tuple[NodeView, ...] = ()
    """Nodes in use, Ready or not."""
    machines: tuple[MachineView, ...] = ()
    """Machines that fill a place."""
    absent: tuple[MachineView, ...] = ()
    """Those of `machines` that were Ready and whose Node is not there."""
    claim: tuple[NodeView, ...] = ()
    release: tuple[NodeView, ...] = ()
    order: tuple[Order, ...] = ()
    remove: tuple[MachineView, ...] = ()
    failures: Mapping[int, Failure] | None = None
    """The attempts record to write, when it changes."""
    step: CandidateStep | None = None
    """All that is done now: the next candidate is tried."""
    passed: tuple[Passed, ...] | None = None
    """Candidates that were passed over, when what is on record of them changes."""
    sightings: Mapping[int, Failure] = field(default_factory=dict)
    """Causes to put on record, for Machines that have not failed yet."""
    blocked: tuple[Waiting, ...] = ()
    leaving: tuple[MachineView, ...] = ()
    """Machines on their way out whose place must wait for them."""
    short: int = 0
    """Places that nothing fills and nothing will, because Machines cannot be ordered, or would be of no use."""
    excess: Excess | None = None
    """Why what is missing is not ordered: a cap."""
    scarce: Shortage | None = None
    """Why the cloud would not sell what is missing, by what is published of it."""
    passed_over: tuple[str, ...] = ()
    """Sentences about nodes that are not used although they were named or match; only while nodes are missing."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)


def assign(snapshot: Snapshot, *, wants_nodes: bool) -> Assignment:
    """Fill the places; with `wants_nodes` False, give everything back."""
    count = snapshot.wanted.count if wants_nodes else 0
    current, superseded = _split(snapshot)
    moved = step(snapshot, current) if wants_nodes else None
    if moved is not None:
        return Assignment(failures=moved.failures, passed=moved.passed, step=moved)
    failed = tuple(m for m in current if has_ended(m, snapshot))
    alive = tuple(m for m in current if m not in failed)
    chosen_nodes, chosen_machines, short = _choose(snapshot, alive, count)
    chosen_names = {node.name for node in chosen_nodes}
    failures = record_failures(snapshot, failed) if wants_nodes else {}
    missing = 0 if short else count - len(chosen_nodes) - _count_without_node(chosen_machines, chosen_names)
    orders, blocked, leaving = next_orders(snapshot, missing, current, superseded) if missing > 0 else ((), (), ())
    over = excess(snapshot.account, len(orders)) if orders and snapshot.account is not None else None
    if any(wait.exhausted for wait in blocked) and not _runs(snapshot):
        # Nobody pays for one node while the other cannot be had, and nothing runs on either.
        orders, chosen_nodes, chosen_machines, chosen_names, over = (), (), (), set(), None
    machine_nodes = {machine.node_name for machine in chosen_machines}
    surplus = [m for m in alive if m not in chosen_machines and (not wants_nodes or _is_idle(snapshot, m.node_name))]
    is_spot = orders_spot(snapshot.raw, snapshot.wanted)
    scarce = shortage(snapshot.offer, snapshot.wanted.instance_type, len(orders), spot=is_spot)
    assignment = Assignment(
        nodes=tuple(sorted(chosen_nodes, key=lambda node: node.name)),
        machines=tuple(sorted(chosen_machines, key=lambda machine: machine.name)),
        absent=tuple(m for m in chosen_machines if m.phase is MachinePhase.READY and m.node_name not in snapshot.nodes),
        claim=tuple(n for n in chosen_nodes if not n.owner and n.claim is None and n.name not in machine_nodes),
        release=_releases(snapshot, chosen_names),
        order=orders,
        remove=tuple(sorted((*removable(superseded, failed, failures), *surplus), key=lambda machine: machine.name)),
        failures={**snapshot.attempts, **failures} if failures else None,
        passed=after_failures(snapshot, failed, failures),
        sightings=sightings(snapshot, alive) if wants_nodes else {},
        blocked=blocked,
        leaving=leaving,
        short=short,
        passed_over=passed_over(snapshot, chosen_names) if short or missing > 0 or _awaits(chosen_machines) else (),
    )
    assignment = replace(assignment, excess=over, scarce=scarce)
    return _held_back(assignment) if over is not None or (scarce is not None and snapshot.require_quota) else assignment


def _held_back(assignment: Assignment) -> Assignment:
    """All or none: what cannot be completed takes no free node from others while it waits."""
    kept = tuple(node for node in assignment.nodes if node not in assignment.claim)
    return replace(assignment, nodes=kept, claim=(), order=())


def _runs(snapshot: Snapshot) -> bool:
    return any(kind in ("Deployment", "StatefulSet", "Job") for kind, _ in snapshot.existing)


def _awaits(machines: Iterable[MachineView]) -> bool:
    return any(machine.phase is MachinePhase.PENDING for machine in machines)


def _split(snapshot: Snapshot) -> tuple[tuple[MachineView, ...], tuple[MachineView, ...]]:
    """(the newest Machine of each ordinal and those without an ordinal, the ones that a newer attempt replaces)."""
    newest: dict[int, MachineView] = {}
    for machine in snapshot.machines:
        if machine.ordinal is not None and attempt_of(machine) >= attempt_of(newest.get(machine.ordinal)):
            newest[machine.ordinal] = machine
    current: list[MachineView] = []
    superseded: list[MachineView] = []
    for machine in snapshot.machines:
        record = snapshot.attempts.get(machine.ordinal) if machine.ordinal is not None else None
        replaced = record is not None and attempt_of(machine) < record.next_attempt
        is_newest = machine.ordinal is None or newest[machine.ordinal] is machine
        (current if is_newest and not replaced else superseded).append(machine)
    return tuple(current), tuple(superseded)


def _choose(
    snapshot: Snapshot, alive: Iterable[MachineView], count: int
) -> tuple[tuple[NodeView, ...], tuple[MachineView, ...], int]:
    """(nodes, Machines, places that cannot be filled). A Ready Machine comes with its node; a pending one stands alone."""
    by_node = {m.node_name: m for m in alive if m.node_name}
    nodes: list[NodeView] = []
    machines: list[MachineView] = []
    taken: set[str] = set()

    def take(node: NodeView | None, machine: MachineView | None) -> None:
        if len(nodes) + sum(1 for m in machines if m.node_name not in taken) >= count:
            return
        if node is not None:
            nodes.append(node)
            taken.add(node.name)
        if machine is not None:
            machines.append(machine)

    for node in _preferred(snapshot, by_node):
        take(node, by_node.get(node.name))
    for key in sorted(_ours(snapshot, by_node, alive), key=lambda pair: _rank(pair, snapshot)):
        if key[0] is None or key[0].name not in taken:
            take(*key)
    short = count - len(nodes) - _count_without_node(machines, taken)
    free = _free(snapshot, taken)
    orderable = snapshot.machine_api and not snapshot.wanted.unorderable
    if not orderable and len(free) < short:
        # All or none: two Workspaces that each hold half of what they need would wait for each other for ever.
        return tuple(n for n in nodes if n.owner or n.claim or n.name in by_node), tuple(machines), short
    for node in free[:short]:
        take(node, None)
    return tuple(nodes), tuple(machines), 0


def _count_without_node(machines: Iterable[MachineView], names: Iterable[str]) -> int:
    known = set(names)
    return sum(1 for machine in machines if machine.node_name not in known)


def _preferred(snapshot: Snapshot, by_node: Mapping[str, MachineView]) -> list[NodeView]:
    found = (snapshot.nodes.get(name) for name in sorted(set(snapshot.wanted.preferred)))
    return [
        node
        for node in found
        if node is not None
        and (node.name in by_node or _is_ours(node, snapshot) or not obstacle(node, snapshot))
        and not _gave_out(node, snapshot)
    ]


def _ours(
    snapshot: Snapshot, by_node: Mapping[str, MachineView], alive: Iterable[MachineView]
) -> list[tuple[NodeView | None, MachineView | None]]:
    pairs: list[tuple[NodeView | None, MachineView | None]] = [(snapshot.nodes.get(m.node_name), m) for m in alive]
    claimed = (n for n in snapshot.nodes.values() if n.name not in by_node and _is_ours(n, snapshot))
    return [*pairs, *((node, None) for node in claimed if not _gave_out(node, snapshot))]


def _rank(pair: tuple[NodeView | None, MachineView | None], snapshot: Snapshot) -> tuple[bool, bool, bool, bool, str]:
    """Those that serve first: where fewer nodes are wanted than there are, the idle one goes, and none that is in use."""
    node, machine = pair
    name = node.name if node else machine.name if machine else ""
    return (
        name not in snapshot.serving_nodes,
        name not in snapshot.worker_nodes,
        node is None,
        not (node and node.ready),
        name,
    )


def _free(snapshot: Snapshot, taken: set[str]) -> list[NodeView]:
    return sorted(
        (
            node
            for node in snapshot.nodes.values()
            if node.name not in taken and is_wanted_type(node, snapshot) and not obstacle(node, snapshot)
        ),
        key=lambda node: node.name,
    )


def _is_ours(node: NodeView, snapshot: Snapshot) -> bool:
    return node.claim is not None and node.claim.uid == uid_of(snapshot.raw)


def _gave_out(node: NodeView, snapshot: Snapshot) -> bool:
    """A claimed node that is being deleted or has not been Ready for too long."""
    if node.deleting:
        return True
    late = timedelta(seconds=snapshot.limits.node_lost_timeout_s)
    counted = None if node.ready or node.since is None else snapshot.counted(node.since, "Node")
    return counted is not None and snapshot.now - counted >= late


def _releases(snapshot: Snapshot, chosen: set[str]) -> tuple[NodeView, ...]:
    given = (n for n in snapshot.nodes.values() if n.name not in chosen and _is_ours(n, snapshot))
    return tuple(sorted((n for n in given if _is_idle(snapshot, n.name) or not n.ready), key=lambda node: node.name))


def _is_idle(snapshot: Snapshot, node_name: str) -> bool:
    """No pod of ours is left on it, so that giving it up interrupts nobody."""
    return not node_name or node_name not in snapshot.busy_nodes
