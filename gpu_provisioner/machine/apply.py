"""Carry Actions out, one call each, and say what the world looks like after it.

A refusal by the cloud is not an exception here: it is remembered, shapes the next plan and shows in the status. A refusal by the API
server is raised, and the queue brings the Machine back. Every write is bound to what was read: resourceVersion, UID or etag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from controller_runtime.cache.consistency import Consistency
from controller_runtime.client.api import KubeClient, PatchType
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import Conflict, NotFound, TooManyRequests
from controller_runtime.logs import get_logger
from controller_runtime.resources import NODES, PODS, resource_version_of
from gpu_provisioner.api import labels
from gpu_provisioner.cloud.cache import PoolView
from gpu_provisioner.cloud.port import DELETING, CloudError, Pool, PoolSpec, Present, Problem
from gpu_provisioner.cloud.unavailable_offerings import UnavailableOfferings
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.log_lines import told
from gpu_provisioner.machine.memory import Memory
from gpu_provisioner.machine.observe import CREATE, DELETE, Observer
from gpu_provisioner.machine.plan import (
    Action,
    CreatePool,
    DeleteMachine,
    DeletePool,
    EvictPod,
    PatchNode,
    ReleaseNode,
    RemoveFinalizer,
)
from gpu_provisioner.machine.snapshot import NodeView, PodView, Snapshot

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Applier:
    """Holds the ports; `apply` may be called from many threads for different Machines."""

    client: KubeClient
    view: PoolView
    unavailable: UnavailableOfferings
    memory: Memory
    consistency: Consistency
    observer: Observer
    limits: Limits
    clock: Clock = SYSTEM_CLOCK

    def apply(self, snapshot: Snapshot, actions: tuple[Action, ...]) -> Snapshot:
        """Do them in order; the Snapshot as it is afterwards. Raises ApiError when the API server refuses one."""
        evictions = [action.pod for action in actions if isinstance(action, EvictPod)]
        for action in actions:
            if not isinstance(action, EvictPod):
                snapshot = self._one(snapshot, action)
        return self._evict(snapshot, evictions) if evictions else snapshot

    def _one(self, snapshot: Snapshot, action: Action) -> Snapshot:
        began_s = self.clock.monotonic()
        after = self._do(snapshot, action)
        if not _was_refused(action, after):
            self._log(snapshot, action, self.clock.monotonic() - began_s)
        return after

    def _do(self, snapshot: Snapshot, action: Action) -> Snapshot:
        match action:
            case CreatePool():
                return self._create(snapshot, action)
            case DeletePool():
                return self._delete(snapshot, action)
            case PatchNode():
                return self._patch_node(snapshot, action)
            case ReleaseNode():
                release_node(self.client, action.node)
            case DeleteMachine():
                self._delete_machine(snapshot)
            case RemoveFinalizer():
                self._remove_finalizer(snapshot)
        return snapshot

    def _log(self, snapshot: Snapshot, action: Action, took_s: float) -> None:
        """One line for what was carried out. A look that changes nothing has none, so that a steady state is silent."""
        what, why = told(action, snapshot)
        told_of = {"machine": snapshot.machine.name, "took_s": round(took_s, 3), **why}
        (log.warning if isinstance(action, DeleteMachine) else log.info)(what, **told_of)

    # cloud

    def _create(self, snapshot: Snapshot, action: CreatePool) -> Snapshot:
        uid = snapshot.machine.uid
        try:
            pool = self.view.create(action.spec)
        except CloudError as error:
            self._refused(uid, CREATE, error.problem)
            self._remember_type(action.spec, error.problem)
            unavailable = self.unavailable.among(snapshot.candidates.specs)
            return replace(snapshot, attempt=self.memory.attempt(uid, CREATE), unavailable=unavailable)
        self.memory.succeeded(uid, CREATE)
        return self.observer.with_sight(replace(snapshot, attempt=None), Present(pool))

    def _delete(self, snapshot: Snapshot, action: DeletePool) -> Snapshot:
        uid = snapshot.machine.uid
        if action.failure is not None:  # remembered before the evidence goes, as the reply to the delete may get lost
            self._remember_failure(snapshot, action.pool, action.failure)
        try:
            self.view.delete(action.pool)
        except CloudError as error:
            self._refused(uid, DELETE, error.problem)
            return replace(snapshot, deletion=self.memory.attempt(uid, DELETE))
        self.memory.succeeded(uid, DELETE)
        return replace(snapshot, deletion=None, sight=Present(replace(action.pool, provisioning_state=DELETING)))

    def _remember_failure(self, snapshot: Snapshot, pool: Pool, failure: Problem) -> None:
        self._refused(snapshot.machine.uid, CREATE, failure)
        for spec in snapshot.candidates.specs:
            if spec.instance_type.lower() == pool.instance_type.lower():
                self._remember_type(spec, failure)

    def _refused(self, uid: str, call: str, problem: Problem) -> None:
        failures = self.memory.refused(uid, call, problem)
        self.memory.wait(uid, call, problem, self.limits.retry_s(problem, failures))

    def _remember_type(self, spec: PoolSpec, problem: Problem) -> None:
        seconds = self.limits.memory_s(problem)
        if seconds > 0:
            self.unavailable.note(spec, problem, seconds)

    # Kubernetes

    def _patch_node(self, snapshot: Snapshot, action: PatchNode) -> Snapshot:
        kind = PatchType.STRATEGIC if action.patch.additive else PatchType.MERGE
        written = self.client.patch(NODES, action.name, action.patch.body, patch_type=kind)
        self.consistency.note(snapshot.machine.uid, [(NODES, resource_version_of(written))])
        patched = NodeView.from_object(written)
        return replace(snapshot, nodes=tuple(patched if n.name == patched.name else n for n in snapshot.nodes))

    def _delete_machine(self, snapshot: Snapshot) -> None:
        machine = snapshot.machine
        _ignoring_gone(
            lambda: self.client.delete(
                machine.dialect.resource, machine.name, uid=machine.uid, resource_version=machine.resource_version
            )
        )

    def _remove_finalizer(self, snapshot: Snapshot) -> None:
        machine = snapshot.machine
        kept = [f for f in machine.finalizers if f != labels.FINALIZER]
        patch = {"metadata": {"resourceVersion": machine.resource_version, "finalizers": kept or None}}
        _ignoring_gone(lambda: self.client.patch(machine.dialect.resource, machine.name, patch))
        self.memory.forget(machine.uid)
        self.consistency.forget(machine.uid)
        self.view.forget(machine.name)

    def _evict(self, snapshot: Snapshot, pods: list[PodView]) -> Snapshot:
        blocked = [f"{pod.namespace}/{pod.name}" for pod in pods if not self._evicted(snapshot, pod)]
        self.memory.note_blocked_pods(snapshot.machine.uid, blocked)
        return replace(snapshot, blocked_pods=tuple(blocked))

    def _evicted(self, snapshot: Snapshot, pod: PodView) -> bool:
        """False when a PodDisruptionBudget says not now."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        began_s = self.clock.monotonic()
        try:
            self.client.post(PODS.path(pod.namespace, pod.name, "eviction"), body)
        except TooManyRequests:
            return False
        except (NotFound, Conflict):  # gone, or another pod of that name by now
            return True
        self._log(snapshot, EvictPod(pod), self.clock.monotonic() - began_s)
        return True


def _was_refused(action: Action, after: Snapshot) -> bool:
    """The cloud said no; the status says so."""
    match action:
        case CreatePool():
            return after.attempt is not None
        case DeletePool():
            return after.deletion is not None
    return False


def release_node(client: KubeClient, node: NodeView) -> None:
    """Delete a Node whose VM is gone, and take our finalizer, and only ours, off it. Both are bound to its UID."""
    if not node.deleting:
        _ignoring_gone(lambda: client.delete(NODES, node.name, uid=node.uid))
    if labels.FINALIZER in node.finalizers:
        # The delete has raised the version, so the list is bound to the UID; the API server lets nobody add to it any more.
        kept = [f for f in node.finalizers if f != labels.FINALIZER]
        patch = {"metadata": {"uid": node.uid, "finalizers": kept or None}}
        _ignoring_gone(lambda: client.patch(NODES, node.name, patch))


def _ignoring_gone(call: Callable[[], Any]) -> None:
    try:
        call()
    except NotFound:
        return
