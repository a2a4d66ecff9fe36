"""The fleet: VMs of the cloud become Nodes, get ready, show their GPUs late, beat their hearts, fall ill on demand, and go.

Implements the cloud's `VmHost`. A Node that somebody deletes while its VM lives does not come back by itself, as with a real kubelet,
which registers only when it starts (`restart_kubelet`).
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from controller_runtime.clock import rfc3339_micro
from controller_runtime.controller.controller import Request, Result, for_object
from controller_runtime.errors import AlreadyExists, ApiError, Conflict, NotFound
from controller_runtime.resources import LEASES, NODES, Object, finalizers_of, is_deleting, name_of
from hack.localcluster.actors import nodeshape
from hack.localcluster.actors.world import World
from hack.localcluster.cloud.model import CloudIdentity, VirtualMachine

LEASE_NAMESPACE = "kube-node-lease"
LEASE_PERIOD_S = 10.0
"""Real seconds, whatever the time scale: a heartbeat that is scaled down would flood the API server for nothing."""
STATES = ("ready", "not_ready", "unreachable")


@dataclass(slots=True)
class Member:
    """A VM and how its node is doing."""

    vm: VirtualMachine
    booted: float
    address: str
    registered: bool = False
    ready_at: float = 0.0
    gpu_at: float = math.inf
    health: str = "ready"
    gone: bool = False
    leaving: bool = False
    """Its cloud has announced that it takes the VM back."""
    lease_at: float = 0.0


class Fleet:
    """The kubelets' node side. Thread-safe."""

    def __init__(self, world: World, identity: CloudIdentity) -> None:
        self._world = world
        self._identity = identity
        self._lock = threading.Lock()
        self._members: dict[str, Member] = {}
        self._addresses = 3
        self._controller = world.run("node", self, {NODES: for_object}, workers=2)

    # ---- the cloud's side -----------------------------------------------------------------------------------------------

    def boot(self, vm: VirtualMachine) -> None:
        """A VM starts; its Node joins after a while."""
        with self._lock:
            self._addresses += 1
            address = f"10.224.{self._addresses // 250}.{self._addresses % 250 + 1}"
            self._members[vm.node_name] = Member(vm, self._now(), address)
        self._wake(vm.node_name, self._world.durations.node_join_s)

    def shut_down(self, vm: VirtualMachine) -> None:
        """A VM is gone; its Node follows after a while."""
        with self._lock:
            member = self._members.get(vm.node_name)
            if member is None:
                return
            member.gone = True
        self._wake(vm.node_name, self._world.durations.node_removal_s)

    def announce(self, vm: VirtualMachine) -> None:
        """Its Node says so from now on, as AKS' node problem detector and node auto-drain do."""
        with self._lock:
            member = self._members.get(vm.node_name)
            if member is None:
                return
            member.leaving = True
        self._wake(vm.node_name, 0)

    # ---- the tester's side ----------------------------------------------------------------------------------------------

    def set_health(self, node: str, health: str) -> None:
        """`ready`, `not_ready` (the kubelet reports it) or `unreachable` (it reports nothing). KeyError for an unknown node."""
        if health not in STATES:
            raise ValueError(f"health={health!r}: choose one of {', '.join(STATES)}")
        with self._lock:
            self._members[node].health = health
        self._wake(node, 0)

    def restart_kubelet(self, node: str) -> None:
        """Register again, if the Node object was deleted."""
        with self._lock:
            self._members[node].registered = False
        self._wake(node, 0)

    def member(self, node: str) -> Member | None:
        """The VM behind a node, None when it is not one of ours or is gone."""
        with self._lock:
            found = self._members.get(node)
            return None if found is None or found.gone else found

    def names(self) -> list[str]:
        """Nodes whose VM lives."""
        with self._lock:
            return sorted(name for name, member in self._members.items() if not member.gone)

    # ---- reconciling ----------------------------------------------------------------------------------------------------

    def reconcile(self, request: Request) -> Result:
        """Bring one Node in line with its VM."""
        with self._lock:
            member = self._members.get(request.name)
        if member is None:
            return Result()
        node = self._world.informer(NODES).get(request.name)
        if member.gone:
            return self._remove(request.name, node)
        if node is None:
            return self._join(member)
        member.registered = True
        return self._report(member, node)

    def _join(self, member: Member) -> Result:
        wait_s = member.booted + self._scaled(self._world.durations.node_join_s) - self._now()
        if wait_s > 0:
            return Result(requeue_after_s=wait_s)
        if member.registered:
            return Result()
        member.ready_at = self._now() + self._scaled(self._world.durations.node_ready_s)
        node = nodeshape.new_node(member.vm, self._identity, member.address)
        node["status"]["conditions"] = self._world.merge_conditions({}, nodeshape.wanted_conditions("starting"))
        status = node["status"]
        try:
            created = self._world.client.create(NODES, node)
            if not (created.get("status") or {}).get("conditions"):
                # A real API server drops the status of what it creates; the kubelet writes it right after.
                self._world.patch_status(NODES, created, status)
        except AlreadyExists:
            pass
        member.registered = True
        self._event(
            node, "RegisteredNode", f"Node {name_of(node)} event: Registered Node {name_of(node)} in Controller"
        )
        return Result(requeue_after_s=max(0.01, member.ready_at - self._now()))

    def _report(self, member: Member, node: Object) -> Result:
        now = self._now()
        was_ready = _was_ready(node)
        if not member.ready_at:
            # A Node that was there, and ready, before this process began has its GPUs by now.
            member.ready_at = now if was_ready else now + self._scaled(self._world.durations.node_ready_s)
            member.gpu_at = now if was_ready else math.inf
        state = "starting" if now < member.ready_at and not was_ready else member.health
        conditions = self._world.merge_conditions(node, nodeshape.wanted_conditions(state))
        if member.leaving:
            conditions = self._world.merge_conditions({"status": {"conditions": conditions}}, nodeshape.EVICTION)
        status: Object = {"conditions": conditions}
        if state != "unreachable":
            gpu = now >= member.gpu_at
            status |= {
                "capacity": nodeshape.capacity(member.vm, gpu=gpu),
                "allocatable": nodeshape.allocatable(member.vm, gpu=gpu),
            }
        self._write_status(node, status, conditions)
        self._write_taints(node, state, leaving=member.leaving)
        if (state == "ready") != was_ready:
            self._tell(node, "NodeReady" if state == "ready" else "NodeNotReady")
        if state == "ready" and member.gpu_at == math.inf:
            # Counted from the report, so that nobody ever sees GPUs on a Node that has not been Ready without them.
            member.gpu_at = now + self._scaled(self._world.durations.gpu_ready_s)
        if state != "unreachable":
            self._renew_lease(member)
        return Result(requeue_after_s=self._next_look(member, now))

    def _tell(self, node: Object, reason: str) -> None:
        self._event(node, reason, f"Node {name_of(node)} status is now: {reason}")

    def _write_status(self, node: Object, status: Object, conditions: list[Object]) -> None:
        old = {entry["type"]: entry for entry in (node.get("status") or {}).get("conditions") or []}
        for entry in conditions:
            if old.get(entry["type"], {}).get("status") != entry["status"]:
                entry["lastHeartbeatTime"] = self._world.now()
        self._world.patch_status(NODES, node, status)

    def _write_taints(self, node: Object, state: str, *, leaving: bool = False) -> None:
        taints = list((node.get("spec") or {}).get("taints") or [])
        kept = [taint for taint in taints if not nodeshape.is_lifecycle_taint(taint)]
        wanted = [*kept, *nodeshape.lifecycle_taints(state)]
        if leaving and nodeshape.AUTO_DRAIN_TAINT not in kept:
            wanted.append(nodeshape.AUTO_DRAIN_TAINT)
        if [(t["key"], t["effect"]) for t in taints] == [(t["key"], t["effect"]) for t in wanted]:
            return
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        try:
            self._world.client.patch(NODES, name_of(node), {"metadata": metadata, "spec": {"taints": wanted or None}})
        except NotFound:
            return
        except Conflict:
            self._wake(name_of(node), 0)

    def _next_look(self, member: Member, now: float) -> float:
        moments = [moment for moment in (member.ready_at, member.gpu_at) if now < moment < math.inf]
        soonest = min(moments, default=now + LEASE_PERIOD_S)
        return max(0.01, min(soonest - now, LEASE_PERIOD_S))

    def _renew_lease(self, member: Member) -> None:
        now = self._now()
        if now - member.lease_at < LEASE_PERIOD_S * 0.9:
            return
        name = member.vm.node_name
        stamp = rfc3339_micro(self._world.timeline.clock.now())
        spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": stamp}
        try:
            if member.lease_at:
                self._world.client.patch(LEASES, name, {"spec": spec}, LEASE_NAMESPACE)
            else:
                lease = {
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
                    "spec": spec,
                }
                self._world.client.create(LEASES, lease)
        except AlreadyExists:
            pass
        except ApiError:
            return  # A heartbeat that is missed is made up for by the next one.
        member.lease_at = now

    def _remove(self, name: str, node: Object | None) -> Result:
        if node is not None:
            if not is_deleting(node):
                self._event(
                    node, "DeletingNode", f"Deleting node {name} because it does not exist in the cloud provider"
                )
                self._world.delete(NODES, node)
            elif finalizers_of(node):
                self._lose(node)
            return Result()  # what becomes of it wakes us again; a finalizer may be newer than what was read
        try:
            self._world.client.delete(LEASES, name, LEASE_NAMESPACE)
        except NotFound:
            pass
        except ApiError:
            return Result(requeue_after_s=1.0)
        with self._lock:
            member = self._members.get(name)
            if member is not None and member.gone:
                del self._members[name]
        return Result()

    def _lose(self, node: Object) -> None:
        """A Node that a finalizer keeps has no kubelet any more: its conditions become Unknown."""
        conditions = self._world.merge_conditions(node, nodeshape.wanted_conditions("unreachable"))
        if _was_ready(node):
            self._tell(node, "NodeNotReady")
        self._write_status(node, {"conditions": conditions}, conditions)
        self._write_taints(node, "unreachable")

    def _event(self, node: Object, reason: str, note: str) -> None:
        kind = "Warning" if reason == "NodeNotReady" else "Normal"
        self._world.recorder.record("node-controller", NODES, node, kind, reason, note)

    def _wake(self, node: str, seconds: float) -> None:
        self._controller.enqueue(Request("", node), after_s=self._scaled(seconds))

    def _scaled(self, seconds: float) -> float:
        return self._world.timeline.scaled(seconds)

    def _now(self) -> float:
        return self._world.timeline.clock.monotonic()


def _was_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
