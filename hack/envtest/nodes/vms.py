"""The cloud's machines as real nodes: whoever orders an agent pool at the AKS stand-in gets kubelets that join.

Implements the stand-in's `VmHost`. Besides starting and stopping nodes it plays what runs in AKS beside the kubelet: the cloud node
manager (labels that a kubelet may not set, the taint `uninitialized` removed), the GPU device plugin (an extended resource, some time
after Ready), and the cloud controller that removes the Node of a machine that is gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import structlog

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import ApiError, Conflict, NotFound
from controller_runtime.resources import NODES, Object
from hack.envtest.nodes.network import MAX_NODES, Place
from hack.envtest.nodes.node import Node, Surroundings
from hack.localcluster.actors.nodeshape import GPU, UNINITIALIZED_TAINT, aks_labels, size_of
from hack.localcluster.cloud.model import CloudIdentity, VirtualMachine

log = structlog.get_logger("envtest.nodes")

JOIN_TIMEOUT_S = 120.0
LOOK_PERIOD_S = 0.3
STOP_TIMEOUT_S = 60.0


class Machine:
    """One VM: its thread, and its node once that runs."""

    def __init__(self, vm: VirtualMachine, place: Place) -> None:
        self.vm, self.place = vm, place
        self.ended = threading.Event()
        self.node: Node | None = None
        self.failure = ""
        self.thread: threading.Thread | None = None


class VirtualMachines:
    """A thread for each VM, from boot to removal. `gpu_delay_s`: from Ready to the GPUs, real seconds."""

    def __init__(self, around: Surroundings, client: Client, identity: CloudIdentity, *, gpu_delay_s: float) -> None:
        self._around, self._client, self._identity = around, client, identity
        self._gpu_delay_s = gpu_delay_s
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._used = 0

    # -- the cloud's side -------------------------------------------------------------------------------------------------------

    def boot(self, vm: VirtualMachine) -> None:
        """Returns at once; the kubelet joins some seconds later."""
        with self._lock:
            self._used += 1
            if self._used > MAX_NODES:
                raise RuntimeError(
                    f"node {vm.node_name} would be number {self._used}; a cluster has {MAX_NODES} in its life"
                )
            machine = Machine(vm, Place(self._used))
            self._machines[vm.node_name] = machine
        machine.thread = threading.Thread(target=self._live, args=(machine,), name=vm.node_name, daemon=True)
        machine.thread.start()

    def announce(self, vm: VirtualMachine) -> None:
        """Not played here: a real kubelet has nobody that announces an eviction."""

    def shut_down(self, vm: VirtualMachine) -> None:
        """Returns at once; the plug is pulled and the Node removed."""
        machine = self._machines.get(vm.node_name)
        if machine is not None:
            machine.ended.set()

    # -- the tester's side ------------------------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """A running node; KeyError when there is none of that name."""
        found = self._machines[name].node
        if found is None:
            raise KeyError(f"{name} has not started yet")
        return found

    def names(self) -> list[str]:
        """Nodes whose VM lives."""
        with self._lock:
            return sorted(name for name, machine in self._machines.items() if not machine.ended.is_set())

    def failures(self) -> dict[str, str]:
        """Nodes that could not be started, and why."""
        return {name: machine.failure for name, machine in self._machines.items() if machine.failure}

    def stop(self) -> None:
        """End all; Node objects stay, as the whole cluster is going."""
        machines = list(self._machines.values())
        for machine in machines:
            machine.ended.set()
        for machine in machines:
            if machine.thread is not None:
                machine.thread.join(STOP_TIMEOUT_S)

    # -- a machine's life -------------------------------------------------------------------------------------------------------

    def _live(self, machine: Machine) -> None:
        with ExitStack() as stack:
            try:
                node = Node(machine.vm, self._labels(machine.vm), machine.place, self._around)
                stack.enter_context(node)
                machine.node = node
                self._welcome(machine)
            except Exception as error:
                machine.failure = str(error)
                log.exception("a node could not be started", node=machine.vm.node_name)
            machine.ended.wait()
        self._forget(machine)

    def _labels(self, vm: VirtualMachine) -> dict[str, str]:
        return {**aks_labels(vm, self._identity), **vm.labels}

    def _welcome(self, machine: Machine) -> None:
        """What follows the kubelet's registration."""
        self._until(machine, "join", lambda node: node is not None)
        self._until(machine, "take its labels", lambda node: node is not None and self._initialize(machine.vm, node))
        self._until(machine, "get ready", _is_ready)
        gpus = size_of(machine.vm).gpus
        if gpus and not machine.ended.wait(self._gpu_delay_s):
            self._client.patch(
                NODES, machine.vm.node_name, {"status": {"capacity": {GPU: str(gpus)}}}, subresource="status"
            )

    def _initialize(self, vm: VirtualMachine, node: Object) -> bool:
        """The cloud node manager's part; False when somebody else wrote in between."""
        taints = [t for t in node["spec"].get("taints") or [] if t["key"] != UNINITIALIZED_TAINT["key"]]
        metadata = {"labels": self._labels(vm), "resourceVersion": node["metadata"]["resourceVersion"]}
        try:
            self._client.patch(NODES, vm.node_name, {"metadata": metadata, "spec": {"taints": taints or None}})
        except Conflict:
            return False
        return True

    def _until(self, machine: Machine, what: str, holds: Callable[[Object | None], bool]) -> None:
        name, deadline = machine.vm.node_name, time.monotonic() + JOIN_TIMEOUT_S
        while time.monotonic() < deadline and not machine.ended.is_set():
            if holds(self._get(name)):
                return
            machine.ended.wait(LOOK_PERIOD_S)
        if not machine.ended.is_set():
            raise TimeoutError(f"node {name} did not {what} within {JOIN_TIMEOUT_S:g} s")

    def _get(self, name: str) -> Object | None:
        try:
            return self._client.get(NODES, name)
        except ApiError:
            return None

    def _forget(self, machine: Machine) -> None:
        try:
            self._client.delete(NODES, machine.vm.node_name)
        except NotFound:
            pass
        except ApiError as error:
            log.warning("a Node could not be removed", node=machine.vm.node_name, error=str(error))
        with self._lock:
            if self._machines.get(machine.vm.node_name) is machine and not machine.failure:
                del self._machines[machine.vm.node_name]


def _is_ready(node: Object | None) -> bool:
    conditions = ((node or {}).get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
