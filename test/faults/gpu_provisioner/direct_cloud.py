"""The cloud of a World: its VMs with their kubelets, and the AgentPools port over localcluster's rules of Azure, without HTTP.

Like `direct_client`, it answers at once and in the caller's thread; what takes time is put on the World's timeline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from azure.mgmt.containerservice._utils.model_base import SdkJSONEncoder
from azure.mgmt.containerservice.models import AgentPool

from controller_runtime.errors import AlreadyExists, NotFound
from controller_runtime.resources import NODES, PODS, Object
from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.azure.agent_pools import pool_body, read_pool
from gpu_provisioner.cloud.azure.errors import classify, retry_after_s
from hack.localcluster.cloud.errors import ArmError
from hack.localcluster.cloud.model import VirtualMachine
from test.faults.gpu_provisioner.oracles import ordered_without_machine

if TYPE_CHECKING:
    from test.faults.gpu_provisioner.world import World


class Host:
    """VMs become Nodes after a while; Nodes go when their VM went."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kubelets_hang = False

    def boot(self, vm: VirtualMachine) -> None:
        self._world.timeline.after(self._world.durations.node_join_s, lambda: self._join(vm))

    def announce(self, vm: VirtualMachine) -> None:
        """Nothing here reads notices."""

    def shut_down(self, vm: VirtualMachine) -> None:
        self._world.timeline.after(self._world.durations.node_removal_s, lambda: self._leave(vm))

    def _join(self, vm: VirtualMachine) -> None:
        labels = {"agentpool": vm.pool, "kubernetes.azure.com/agentpool": vm.pool, **vm.labels}
        labels["node.kubernetes.io/instance-type"] = vm.vm_size
        taints = [_taint(text) for text in vm.taints]
        node = {
            "metadata": {"name": vm.node_name, "labels": labels},
            "spec": {"providerID": vm.provider_id, "taints": taints},
            "status": {
                "conditions": [{"type": "Ready", "status": "False"}],
                "capacity": {"cpu": "12", "nvidia.com/gpu": "2"},
                "allocatable": {"cpu": "11", "nvidia.com/gpu": "2"},
            },
        }
        try:
            self._world.admin.create(NODES, node)
        except AlreadyExists:  # held by a finalizer since the VM went, which cannot come back
            return
        self._world.timeline.after(self._world.durations.node_ready_s, lambda: self._ready(vm))

    def _ready(self, vm: VirtualMachine) -> None:
        try:
            self._world.set_node_ready(True, vm.node_name)
        except NotFound:
            return

    def end_pods(self) -> None:
        """The kubelets: a pod that is being deleted ends."""
        for pod in self._world.server.objects(PODS):
            if pod["metadata"].get("deletionTimestamp") and not self.kubelets_hang:
                meta = pod["metadata"]
                self._world.admin.delete(PODS, meta["name"], meta["namespace"], grace_period_s=0)

    def _leave(self, vm: VirtualMachine) -> None:
        """The node lifecycle controller: unready first, then the object is deleted (our finalizer may hold it)."""
        try:
            self._world.set_node_ready(False, vm.node_name)
            self._world.admin.delete(NODES, vm.node_name)
        except NotFound:
            return


def _taint(text: str) -> Object:
    head, _, effect = text.rpartition(":")
    key, _, value = head.partition("=")
    return {"key": key, "effect": effect, **({"value": value} if value else {})}


class DirectPools:
    """The AgentPools port over the cloud's rules, with the real adapter's tables for bodies and errors."""

    def __init__(self, world: World) -> None:
        self._world = world

    def get(self, name: str) -> port.Pool:
        return self._asked("get " + name, lambda: _read(self._world.cloud.get(name)))

    def list(self) -> list[port.Pool]:
        missed = self._world.missed_by_list
        return self._asked("list", lambda: [_read(p) for p in self._world.cloud.list() if p["name"] not in missed])

    def create(self, spec: port.PoolSpec) -> port.Pool:
        if spec.name in self._world.unforeseen:
            raise RuntimeError("unforeseen")
        body = json.loads(json.dumps(pool_body(spec), cls=SdkJSONEncoder, exclude_readonly=True))["properties"]

        def commit() -> port.Pool:
            _, found, _ = self._world.cloud.put(spec.name, body, if_none_match="*")
            self._world.violations.extend(ordered_without_machine(self._world, spec))
            self._world.orders.append((spec.name, spec.tags["kaito-machine-uid"], spec.instance_type))
            return _read(found)

        def late() -> port.Pool:
            """The reply is lost, and the order takes effect only after a while."""
            self._world.timeline.after(self._world.order_delay_s, commit)
            raise classify(None, "", "connection reset")

        sent = late if self._world.order_delay_s else commit
        write = lambda: self._world.gate(f"arm put {spec.name}", lambda: self._translated(sent, creating=True))  # noqa: E731
        return self._asked("put " + spec.name, write, creating=True)

    def delete(self, name: str, *, etag: str = "") -> None:
        def commit() -> None:
            self._world.cloud.delete(name, if_match=etag)

        write = lambda: self._world.gate(f"arm delete {name}", lambda: self._translated(commit))  # noqa: E731
        return self._asked("delete " + name, write)

    def _asked(self, what: str, call: Callable[[], Any], *, creating: bool = False) -> Any:
        if self._world.dead:
            self._world.die()
        self._world.azure_calls.append(f"{self._world.clock.monotonic():.0f} {what}")
        if self._world.azure_down is not None:
            raise self._world.azure_down
        return self._translated(call, creating=creating)

    @staticmethod
    def _translated(call: Callable[[], Any], *, creating: bool = False) -> Any:
        try:
            return call()
        except ArmError as error:
            raise classify(
                error.status, error.code, error.message, creating=creating, retry_after_s=retry_after_s(error.headers)
            ) from None


def _read(resource: Mapping[str, Any]) -> port.Pool:
    return read_pool(AgentPool(dict(resource)))
