"""What to do next for a Machine. PURE: a Snapshot in, a few Actions and a time to look again out.

Each phase is one small function that either decides or passes on. Two orders protect money and people: the Machine says that it is
being worked on before a pool is ordered, and says why it failed before the evidence (a failed pool, or the Machine itself) is
removed. Nothing to do gives no action.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_provisioner.api import conditions, labels
from gpu_provisioner.api.machine import Machine
from gpu_provisioner.cloud.port import Pool, PoolSpec, Problem
from gpu_provisioner.machine.deadlines import running_limit
from gpu_provisioner.machine.launch_failure import NO_CAUSE
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.node_sync import NodePatch, sync_patch
from gpu_provisioner.machine.ownership import Ownership
from gpu_provisioner.machine.snapshot import NodeView, PodView, Snapshot


@dataclass(frozen=True, slots=True)
class CreatePool:
    """Order the pool; refused when one of that name exists."""

    spec: PoolSpec


@dataclass(frozen=True, slots=True)
class DeletePool:
    """Delete a pool of ours. `failure` is remembered when it is deleted because it failed, so that the next try differs."""

    pool: Pool
    failure: Problem | None = None


@dataclass(frozen=True, slots=True)
class PatchNode:
    """Write to a Node."""

    name: str
    patch: NodePatch


@dataclass(frozen=True, slots=True)
class EvictPod:
    """Ask for a pod to leave, by the eviction API."""

    pod: PodView


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    """Take our finalizer off a Node whose pool is gone, and delete it."""

    node: NodeView


@dataclass(frozen=True, slots=True)
class DeleteMachine:
    """Give the Machine up; its termination does the rest."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Nothing of the Machine is left: let it go."""


Action = CreatePool | DeletePool | PatchNode | EvictPod | ReleaseNode | DeleteMachine | RemoveFinalizer


@dataclass(frozen=True, slots=True)
class Plan:
    """Actions in order, and when to look again without being woken (None: an event will come)."""

    actions: tuple[Action, ...] = ()
    look_again_s: float | None = None


def plan(snapshot: Snapshot, limits: Limits) -> Plan:
    """The next step of this Machine."""
    if snapshot.machine.deleting:
        return _terminate(snapshot, limits)
    if not snapshot.is_recorded:
        return Plan()
    limit = running_limit(snapshot, limits)
    if limit is not None and limit.has_passed:
        ready = snapshot.machine.condition(conditions.READY)
        is_told = ready is not None and ready.reason == limit.reason
        return Plan((DeleteMachine(limit.reason, limit.message),) if is_told else ())
    step = _live(snapshot, limits)
    return _look_by(step, limit.remaining_s if limit is not None else None)


def _live(snapshot: Snapshot, limits: Limits) -> Plan:
    if not snapshot.is_launched:
        return _launch(snapshot, limits)
    look_again_s = _health_poll(snapshot, limits)
    return Plan(tuple(_sync(snapshot.machine, snapshot.node)), look_again_s)


def _look_by(step: Plan, deadline_s: float | None) -> Plan:
    """Never later than the running limit passes."""
    if deadline_s is None:
        return step
    return Plan(step.actions, deadline_s if step.look_again_s is None else min(step.look_again_s, deadline_s))


# launch


def _launch(snapshot: Snapshot, limits: Limits) -> Plan:
    if snapshot.candidates.problems:
        return Plan(look_again_s=limits.invalid_retry_s)
    if not snapshot.pool_is_known:
        return Plan(look_again_s=_retry(snapshot.pool_problem, limits))
    if snapshot.our_pool is not None:
        return _follow(snapshot, snapshot.our_pool, limits)
    if snapshot.ownership in (Ownership.FOREIGN, Ownership.UNMARKED):
        return Plan(look_again_s=limits.invalid_retry_s)
    if snapshot.ownership is Ownership.FORMER:
        return Plan(look_again_s=limits.poll_max_s)
    return _order(snapshot)


def _order(snapshot: Snapshot) -> Plan:
    """Order the first instance type that was not refused lately. The create-only order itself finds out a pool that was missed."""
    if snapshot.attempt is not None and snapshot.attempt.wait_s > 0:
        return Plan(look_again_s=snapshot.attempt.wait_s)
    open_specs = [s for s in snapshot.candidates.specs if s.instance_type not in snapshot.unavailable.errors]
    if not open_specs:
        return Plan(look_again_s=snapshot.unavailable.wait_s)
    return Plan((CreatePool(open_specs[0]),))


def _follow(snapshot: Snapshot, pool: Pool, limits: Limits) -> Plan:
    """A pool of ours that is not ready: wait, or clear it away once its failure is on record."""
    if not pool.has_failed:
        return Plan(look_again_s=limits.poll_interval_s(snapshot.ages.creation_s))
    if snapshot.deletion is not None and snapshot.deletion.wait_s > 0:
        return Plan(look_again_s=snapshot.deletion.wait_s)
    launched = snapshot.machine.condition(conditions.LAUNCHED)
    failure = pool.error or NO_CAUSE
    if launched is None or launched.reason != failure.reason:
        return Plan()
    return Plan((DeletePool(pool, failure),), limits.poll_s)


# registration, initialization, health


def _sync(machine: Machine, node: NodeView | None) -> list[Action]:
    if node is None or node.deleting:
        return []
    patch = sync_patch(machine, node)
    return [PatchNode(node.name, patch)] if patch else []


def _health_poll(snapshot: Snapshot, limits: Limits) -> float | None:
    """Only a Machine without a usable Node is looked at by the clock; the others are woken by their Node."""
    if snapshot.is_usable or not snapshot.machine.is_true(conditions.REGISTERED):
        return None
    return limits.poll_max_s


# termination


def _terminate(snapshot: Snapshot, limits: Limits) -> Plan:
    if labels.FINALIZER not in snapshot.machine.finalizers:
        return Plan()
    if not snapshot.pool_is_known:
        return Plan(look_again_s=_retry(snapshot.pool_problem, limits))
    if snapshot.our_pool is not None:
        return _remove_pool(snapshot, snapshot.our_pool, limits)
    if snapshot.pool_in_the_way is not None:
        return Plan(look_again_s=limits.poll_max_s)
    if not snapshot.has_no_pool_of_ours:
        return Plan(look_again_s=limits.poll_s)
    if snapshot.nodes:
        return Plan(tuple(ReleaseNode(node) for node in snapshot.nodes), limits.poll_s)
    return Plan((RemoveFinalizer(),))


def _remove_pool(snapshot: Snapshot, pool: Pool, limits: Limits) -> Plan:
    if pool.is_deleting:
        return Plan(look_again_s=limits.poll_interval_s(snapshot.ages.termination_s))
    if snapshot.nodes and not is_drained(snapshot, limits):
        return Plan(tuple(_drain(snapshot)), limits.drain_poll_s)
    if snapshot.deletion is not None and snapshot.deletion.wait_s > 0:
        return Plan(look_again_s=snapshot.deletion.wait_s)
    return Plan((DeletePool(pool),), limits.poll_s)


def is_drained(snapshot: Snapshot, limits: Limits) -> bool:
    """No pod is left that counts, or the drain limit (if one is set) has passed."""
    asked_s = snapshot.machine.drain_limit_s
    limit_s = limits.drain_timeout_s if asked_s is None else asked_s
    if (limit_s or asked_s is not None) and snapshot.ages.draining_s >= limit_s:
        return True
    return snapshot.pods is not None and not snapshot.pods


def _drain(snapshot: Snapshot) -> list[Action]:
    """Cordon first; then everybody but the critical pods, which go when the others are gone.

    Also a Node that is being deleted: the scheduler goes on placing pods on it, each of which would have to be evicted again.
    """
    actions: list[Action] = [PatchNode(n.name, _CORDON) for n in snapshot.nodes if not n.unschedulable]
    pods = snapshot.pods or ()
    ordinary = [p for p in pods if not p.critical]
    actions += [EvictPod(p) for p in (ordinary or pods) if not p.leaving]
    return actions


_CORDON = NodePatch(
    {
        "metadata": {"labels": {labels.EXCLUDE_FROM_LOAD_BALANCERS: labels.EXCLUDE_FROM_LOAD_BALANCERS_VALUE}},
        "spec": {"unschedulable": True},
    },
    additive=True,
)


def _retry(problem: Problem | None, limits: Limits) -> float:
    return limits.retry_s(problem, 1) if problem is not None else limits.poll_s
