"""A whole world for one provisioner in one thread and in fake time: API server rules, AKS, VMs with kubelets, and the real provisioner.

Every write of the provisioner, to Kubernetes or to Azure, passes one gate, which can crash the process (all memory is lost and a new one
starts) or lose the request or its reply. Nothing here knows what the provisioner ought to do; see `oracles`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from controller_runtime.errors import ConnectionFailed, NotFound
from controller_runtime.metrics.registry import new_registry
from controller_runtime.resources import NODES, PODS, Object, Resource
from gpu_provisioner.api.dialect import MACHINE, Dialect
from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.azure.errors import classify
from gpu_provisioner.settings import SETTINGS as PROVISIONER_SETTINGS
from gpu_provisioner.setup import build_provisioner
from hack.localcluster.cloud.model import CloudIdentity
from hack.localcluster.cloud.pools import AgentPools
from hack.localcluster.durations import Durations
from hack.localcluster.timeline import Timeline
from test.faults.gpu_provisioner.direct_client import DirectInformer, DirectServer
from test.faults.gpu_provisioner.direct_cloud import DirectPools, Host
from test.faults.gpu_provisioner.node_objects import machine_object, node_claim_object
from test.faults.gpu_provisioner.oracles import violations
from test.support.fake_clock import FakeClock

SETTINGS = {
    "subscription_id": "sub",
    "resource_group": "rg",
    "cluster_name": "cluster",
    "credential": "none",
    "arm_endpoint": "http://127.0.0.1:1",
    "leader_elect": False,
}


class CrashNow(BaseException):
    """The process dies here."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the n-th write (from 0) of the provisioner."""

    write: int
    mode: str  # crash-before, crash-after, lost-before, lost-after


class World:
    """See the module."""

    rounds: ClassVar[int] = 500
    """How much may be due at one moment; more is a loop."""
    made: ClassVar[list[World]] = []
    """All of this test, so that the rules are checked at its end whether it asks or not."""

    def __init__(
        self,
        fault: Fault | None = None,
        *,
        durations: Durations | None = None,
        node_api: Dialect = MACHINE,
        **settings: Any,
    ) -> None:
        self.node_api = node_api
        self.resource = node_api.resource
        self.clock = FakeClock()
        self.timeline = Timeline(1.0, self.clock)
        self.server = DirectServer(node_api.resource)
        self.admin = self.server.client("admin")
        self.durations = durations or Durations()
        self.host = Host(self)
        self.cloud = AgentPools(CloudIdentity(), self.timeline, self.durations, self.host)
        self.settings = PROVISIONER_SETTINGS(**{**SETTINGS, **settings})
        self.faults = [fault] if fault is not None else []
        self.writes: list[str] = []
        self.azure_calls: list[str] = []
        self.orders: list[tuple[str, str, str]] = []
        self.events: list[tuple[str, str, str]] = []
        self.azure_down: port.CloudError | None = None
        self.missed_by_list: set[str] = set()
        self.unforeseen: set[str] = set()
        """Pools whose order raises what no adapter should raise."""
        self.order_delay_s = 0.0
        self.dead = False
        self.restarts = 0
        self.cloud.add_canary("systempool", mode="System")
        self.cloud.add_canary("userpool", vm_size="Standard_NC12s_v3")
        self.canaries = self.canary_state()
        self.violations: list[str] = []
        self.taken_by_force: set[str] = set()
        World.made.append(self)
        self.server.store.listeners.append(lambda change: self.violations.extend(violations(self, change)))
        self.start()

    # the process

    def start(self) -> None:
        """A new provisioner process: nothing is remembered."""
        self.dead = False
        self.informers: dict[Resource, DirectInformer] = {}
        self.name = "gpu-provisioner"
        self.registry = new_registry(process=False)
        self.metrics_registry = self.registry
        self.client = self.server.client("gpu-provisioner", self.gate)
        self.controllers: list[Any] = []
        self.provisioner = build_provisioner(self, DirectPools(self), self.settings, clock=self.clock)  # type: ignore[arg-type]
        self.deliver()

    # the part of a Manager that build_provisioner uses

    def informer(self, resource: Resource, *, indexers: Mapping[str, Any] | None = None) -> Any:
        informer = self.informers.setdefault(resource, DirectInformer(self.server, resource))
        informer.add_indexers(indexers)
        return informer

    def recorder(self, _component: str) -> Any:
        return self

    def event(self, obj: Object, *, type: str, reason: str, action: str, note: str, related: Any = None) -> None:  # noqa: A002
        assert action
        assert len(note) <= 2048
        self.events.append((type, reason, note))

    def add_controller(self, controller: Any) -> None:
        self.controllers.append(controller)

    def may_write(self) -> bool:
        return True

    # the gate

    def gate(self, what: str, commit: Callable[[], Any]) -> Any:
        if self.dead:
            raise CrashNow
        number = len(self.writes)
        self.writes.append(what)
        mode = next((f.mode for f in self.faults if f.write == number), "")
        if mode == "crash-before":
            self.die()
        if mode == "lost-before":
            raise self.lost(what)
        result = commit()
        if mode == "crash-after":
            self.die()
        if mode == "lost-after":
            raise self.lost(what)
        return result

    def die(self) -> None:
        self.dead = True
        raise CrashNow

    def lost(self, what: str) -> Exception:
        if what.startswith("arm "):
            return classify(None, "", "connection reset")
        return ConnectionFailed("connection reset")

    # time

    def deliver(self) -> bool:
        return sum(informer.deliver() for informer in self.informers.values()) > 0

    def settle(self) -> None:
        """Run everything that is due at this moment."""
        for _ in range(self.rounds):
            self.timeline.run_due()
            moved = self.deliver()
            worked = sum(controller.process_next() for controller in self.controllers) > 0
            self.host.end_pods()
            if self.dead:
                self.restarts += 1
                self.start()
                continue
            if not moved and not worked:
                return
        raise AssertionError(
            f"no rest after {self.rounds} rounds at {self.clock.now()}; last writes {self.writes[-10:]}"
        )

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False, *, step_s: float = 1.0) -> bool:
        """Let time pass; True as soon as `until` holds."""
        self.settle()
        passed = 0.0
        while passed < seconds:
            if until():
                return True
            self.clock.advance(step_s)
            passed += step_s
            self.settle()
        return until()

    # people

    def create_machine(self, name: str = "ws0123456789"[:11], **spec: Any) -> Object:
        build = machine_object if self.node_api is MACHINE else node_claim_object
        return self.admin.create(self.resource, build(name, **spec))

    def delete_machine(self, name: str = "ws012345678") -> None:
        self.admin.delete(self.resource, name)

    def take_by_force(self, name: str = "ws012345678") -> None:
        """Somebody strips the finalizers and deletes the Machine; its pool is then no fault of the provisioner."""
        self.taken_by_force.add(name)
        self.admin.patch(self.resource, name, {"metadata": {"finalizers": None}})
        self.delete_machine(name)

    def machine(self, name: str = "ws012345678") -> Object | None:
        try:
            return self.admin.get(self.resource, name)
        except NotFound:
            return None

    def condition(self, type_: str, name: str = "ws012345678") -> Object:
        machine = self.machine(name) or {}
        return next((c for c in (machine.get("status") or {}).get("conditions") or () if c["type"] == type_), {})

    def is_ready(self, name: str = "ws012345678") -> bool:
        return self.condition("Ready", name).get("status") == "True"

    def is_gone(self, name: str = "ws012345678") -> bool:
        return self.machine(name) is None

    def nodes(self) -> list[Object]:
        return [n for n in self.server.objects(NODES) if "kaito.sh/machine-uid" in n["metadata"]["labels"]]

    def pool_body(self, name: str) -> dict[str, Any]:
        """The properties of a pool as a tool would send them back that changes one of them."""
        left_out = ("provisioningState", "powerState", "eTag", "currentOrchestratorVersion", "nodeImageVersion")
        return {k: v for k, v in self.cloud.get(name)["properties"].items() if k not in left_out}

    def pools(self) -> dict[str, Any]:
        return {p["name"]: p for p in self.cloud.list() if p["name"] not in ("systempool", "userpool")}

    def orders_by_type(self) -> list[tuple[str, str]]:
        """(Machine, instance type) of each accepted order; the Machines of one name are numbered in order of appearance."""
        numbers: dict[str, int] = {}
        return [
            (f"{name}#{numbers.setdefault(uid, len(numbers))}", instance_type)
            for name, uid, instance_type in self.orders
        ]

    def canary_state(self) -> list[Any]:
        return [p for p in self.cloud.list() if p["name"] in ("systempool", "userpool")]

    def add_pod(self, name: str = "model-0", **spec: Any) -> None:
        """A running pod on the first Node."""
        container = {"name": "main", "image": "model"}
        body = {"nodeName": self.nodes()[0]["metadata"]["name"], "containers": [container], **spec}
        self.admin.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": body})

    def pods(self) -> list[str]:
        return sorted(pod["metadata"]["name"] for pod in self.server.objects(PODS))

    def set_node_ready(self, ready: bool, name: str | None = None) -> None:
        node = name or self.nodes()[0]["metadata"]["name"]
        status = {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
        self.admin.patch(NODES, node, {"status": status}, subresource="status")
