"""Read the caches, the cloud's state and our memory once, into one frozen Snapshot.

The cloud is asked only where the answer can change what happens: while a Machine is being launched, has lost its Node, or is being
deleted. A Machine that is well costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from controller_runtime.cache.informer import Lister
from controller_runtime.client.api import KubeClient
from controller_runtime.resources import PODS, Object, labels_of
from gpu_provisioner.api import conditions, labels
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.cloud.port import CloudError, PoolDefaults, Present, Sight, UnavailableTypes
from gpu_provisioner.cloud.unavailable_offerings import UnavailableOfferings
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.memory import Memory
from gpu_provisioner.machine.ownership import Ownership, ownership
from gpu_provisioner.machine.pods import must_leave, pod_view
from gpu_provisioner.machine.pool_specs import candidates_for
from gpu_provisioner.machine.snapshot import Ages, NodeView, Snapshot, Unasked

NODES_BY_POOL = "pool"
CREATE = "create"
DELETE = "delete"
_AGE_FIELDS = frozenset(f.name for f in fields(Ages))
_POLL_TOLERANCE = 0.9
"""A timer that fires a little early must still find its pool's last sight too old."""


def pool_of_node(node: Object) -> Iterable[str]:
    """Index of Nodes: the name of their pool."""
    found = labels_of(node)
    name = found.get(labels.POOL) or found.get(labels.POOL_SHORT)
    return (name,) if name else ()


@dataclass(frozen=True, slots=True)
class Observer:
    """`nodes` needs the index `NODES_BY_POOL` with `pool_of_node`."""

    nodes: Lister
    client: KubeClient
    view: PoolView
    unavailable: UnavailableOfferings
    memory: Memory
    defaults: PoolDefaults
    limits: Limits
    adopt_unmarked: bool = False

    def observe(self, machine: Machine) -> Snapshot:
        """Everything about this Machine, now. Raises ApiError when pods have to be listed and cannot be."""
        candidates = candidates_for(machine, self.defaults)
        attempt = self.memory.attempt(machine.uid, CREATE)
        is_asked_anew = attempt is None and labels.ASK_AGAIN in machine.annotations
        snapshot = Snapshot(
            machine=machine,
            candidates=candidates,
            nodes=self._nodes(machine),
            unavailable=UnavailableTypes() if is_asked_anew else self.unavailable.among(candidates.specs),
            attempt=attempt,
            deletion=self.memory.attempt(machine.uid, DELETE),
            blocked_pods=self.memory.blocked_pods(machine.uid),
        )
        snapshot = self._with_pool(snapshot)
        self.memory.note_pool_in_the_way(machine.uid, machine.deleting and snapshot.pool_in_the_way is not None)
        pods = self._pods(snapshot)
        leaving = {f"pod:{pod['metadata']['uid']}" for pod in pods or () if pod["metadata"].get("deletionTimestamp")}
        ages = self.memory.ages(machine.uid, states_of(snapshot) | leaving, paused=_paused(snapshot))
        if pods is not None:
            views = tuple(pod_view(pod) for pod in pods if must_leave(pod, ages, self.limits.pod_stuck_s))
            snapshot = replace(snapshot, pods=views)
        return replace(snapshot, ages=Ages(**{k: v for k, v in ages.items() if k in _AGE_FIELDS}))

    def with_sight(self, snapshot: Snapshot, sight: Sight) -> Snapshot:
        """The same moment, with what is now known of the pool."""
        pool = sight.pool if isinstance(sight, Present) else None
        whose = ownership(snapshot.machine, pool, adopt_unmarked=self.adopt_unmarked)
        return replace(snapshot, sight=sight, ownership=whose)

    def owns_pool_of(self, machine: Machine) -> bool:
        """Whether a pool of the Machine's name carries its UID. Raises CloudError when the cloud cannot be asked."""
        sight = self.view.look(machine.name, self.limits.poll_s)
        return isinstance(sight, Present) and ownership(machine, sight.pool) is Ownership.OURS

    def _with_pool(self, snapshot: Snapshot) -> Snapshot:
        machine = snapshot.machine
        if machine.deleting:
            self.view.withdraw(machine.name)
        max_age_s = self._pool_needed(snapshot)
        if max_age_s is None:
            return snapshot
        ends = machine.deleting or machine.is_true(conditions.LAUNCHED)
        try:
            sight = self.view.look(machine.name, max_age_s * _POLL_TOLERANCE, proof=ends)
        except CloudError as error:
            return replace(snapshot, sight=Unasked(error.problem))
        return self.with_sight(snapshot, sight)

    def _pool_needed(self, snapshot: Snapshot) -> float | None:
        """How old knowledge of the pool may be; None: nothing depends on it."""
        machine = snapshot.machine
        if machine.deleting:
            return self.limits.poll_s
        if not machine.is_true(conditions.LAUNCHED):
            return None if snapshot.candidates.problems or not snapshot.is_recorded else self.limits.poll_s
        if machine.is_true(conditions.REGISTERED) and not snapshot.is_usable:
            return self.limits.poll_max_s
        return None

    def _nodes(self, machine: Machine) -> tuple[NodeView, ...]:
        """Nodes of the pool of that name that are this Machine's, by UID; by providerID for those an older provisioner made."""
        views = (NodeView.from_object(node) for node in self.nodes.by_index(NODES_BY_POOL, machine.name))
        return tuple(sorted((v for v in views if _is_ours(machine, v)), key=lambda v: v.name))

    def _pods(self, snapshot: Snapshot) -> list[Object] | None:
        """Pods on the Machine's Nodes, listed only while they stand in the way of its deletion."""
        pool = snapshot.our_pool
        if not snapshot.machine.deleting or pool is None or pool.is_deleting or not snapshot.nodes:
            return None
        found: list[Object] = []
        for node in snapshot.nodes:
            found += self.client.list(PODS, field_selector=f"spec.nodeName={node.name}").items
        return found


def _is_ours(machine: Machine, node: NodeView) -> bool:
    uid = node.labels.get(labels.MACHINE_UID)
    if uid:
        return uid == machine.uid
    if any(reference.get("uid") == machine.uid for reference in node.owner_references):
        return True
    return bool(node.provider_id) and node.provider_id == machine.status.provider_id


def states_of(snapshot: Snapshot) -> set[str]:
    """The clocks that run now, by their names in Ages. A phase ends when its condition is on record, so that it can be measured."""
    machine, pool = snapshot.machine, snapshot.our_pool
    if machine.deleting:
        drains = pool is not None and not pool.is_deleting and bool(snapshot.nodes)
        return {"termination_s"} | ({"draining_s"} if drains else set())
    states: set[str] = set()
    if not machine.is_true(conditions.LAUNCHED):
        states.add("launch_s")
        if pool is not None and not pool.has_failed and not pool.is_deleting:
            states.add("creation_s")
    return states | _joining_states(snapshot) if snapshot.is_launched else states


def _paused(snapshot: Snapshot) -> set[str]:
    """Clocks that stand still: a Machine whose order waits for its turn loses nothing of the time that it has for its launch."""
    return {"launch_s"} if snapshot.attempt is not None and snapshot.attempt.awaits_turn else set()


def _joining_states(snapshot: Snapshot) -> set[str]:
    registered = snapshot.machine.is_true(conditions.REGISTERED)
    states: set[str] = set() if registered else {"registration_s"}
    if not snapshot.machine.is_true(conditions.INITIALIZED) and (registered or snapshot.nodes):
        states.add("initialization_s")
    excused = snapshot.our_pool is not None and not snapshot.our_pool.is_running
    if not snapshot.is_usable and (registered or snapshot.nodes) and not excused:
        states.add("unhealthy_s")
    return states
