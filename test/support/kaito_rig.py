"""The whole product on a laptop: a cluster with its cloud, both operators as processes, kubectl. For end-to-end tests.

What a user does goes through kubectl. What a test waits for is looked at through our own client: a kubectl for each look costs more
than the product under test.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import yaml

from controller_runtime.conditions import get_condition
from controller_runtime.errors import ApiError, NotFound
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
    name_of,
    uid_of,
)
from gpu_provisioner.api.dialect import DIALECTS
from hack.localcluster.cloud.model import VirtualMachine
from kaito_controller.api.labels import WORKSPACES
from test.support.clusters import make_cluster
from test.support.kubectl import Kubectl
from test.support.processes import Process, wait_until
from test.support.supply import GPU_SIZE, AksSupply, Supply
from test.support.workspace_world import workspace

ROOT = Path(__file__).resolve().parents[2]
RELEASE_NAMESPACE = "kaito-workspace"
CATALOGUE_NAMESPACE = "kaito-system"
"""Where the admission policies look for their parameters."""
NODE_API = os.environ.get("E2E_NODE_API", "machine")
"""By which nodes are ordered where a test does not say: `machine` or `nodeclaim`. Operators find it out by themselves, by the CRD."""
ORDERS = {dialect.name: dialect.resource for dialect in DIALECTS}
TIME_SCALE = 300.0

KINDS = {
    resource.kind.lower(): resource
    for resource in (
        *(WORKSPACES, DEPLOYMENTS, STATEFUL_SETS, JOBS, SERVICES, CONFIG_MAPS, PODS, NODES),
        *ORDERS.values(),
    )
}
"""Resources by the word that a user types for one of them."""

FAST = {
    "KAITO_LOAD_BALANCER_NAMESPACES": "*",
    "KAITO_PROVISIONER_SILENCE_S": "5",
    "KAITO_MACHINE_RETRY_DELAY_S": "0.5",
    "KAITO_GPU_TIMEOUT_S": "4",
    "KAITO_NODE_LOST_TIMEOUT_S": "5",
    "GPU_PROVISIONER_TIME_SCALE": "30",
    "GPU_PROVISIONER_QUOTA_RETRY_S": "60",
    "GPU_PROVISIONER_NOT_OFFERED_MEMORY_S": "30",
}
"""The operators wait on the wall clock, which localcluster cannot speed up. The provisioner divides its durations by its time scale."""


class Rig:
    """A context manager. `controller` and `provisioner` may be stopped and started by tests."""

    def __init__(
        self,
        folder: Path,
        *,
        provisioner: bool = True,
        machine_crd: bool = True,
        node_api: str = NODE_API,
        admission: bool = False,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
        **settings: str,
    ) -> None:
        """`settings` are those of the controller; `environment` is for both, with prefixes. `admission`: with the shipped policies.
        `python`: the interpreter of the operators."""
        self.folder = folder
        self.python = python
        own = {f"KAITO_{key.upper()}": value for key, value in settings.items()}
        self.settings = {**FAST, **own, **(environment or {})}
        self._with_provisioner, self._with_crd, self._with_admission = provisioner, machine_crd, admission
        self.orders = ORDERS[node_api]
        """The resource by which nodes are ordered here; both operators find that out by themselves."""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.cluster = self._stack.enter_context(make_cluster(time_scale=TIME_SCALE, directory=self.folder / "cluster"))
        self.client = self.cluster.client()
        self.kubectl = Kubectl(self.cluster.kubeconfig, self.folder)
        self.supply = self._make_supply()
        self._install()
        self.controller = self.start_controller()
        self._stack.callback(lambda: self.controller.__exit__())
        if self._with_provisioner:
            self.provisioner = self.start_provisioner()
            self._stack.callback(lambda: self.provisioner.__exit__())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_supply(self) -> Supply:
        return AksSupply(self.cluster.cloud.pools)

    def _install(self) -> None:
        files = ["kaito.sh_workspaces.yaml", *([f"karpenter.sh_{self.orders.plural}.yaml"] if self._with_crd else [])]
        for file in files:
            self.kubectl("create", "-f", str(ROOT / "config" / "crd" / file))
        self.kubectl("create", "namespace", RELEASE_NAMESPACE)
        for file in ("lora-params-template.yaml", "qlora-params-template.yaml"):
            document = yaml.load((ROOT / "config" / "tuning" / file).read_text(), Loader=yaml.CSafeLoader)
            document["metadata"]["namespace"] = RELEASE_NAMESPACE
            self.kubectl.apply(document)
        if self._with_admission:
            self._install_admission()

    def _install_admission(self) -> None:
        """The policies with the catalogue, as shipped; returns when they judge."""
        self.kubectl("create", "namespace", CATALOGUE_NAMESPACE)
        self.kubectl("apply", "-k", str(ROOT / "config" / "admission"))
        probe = workspace("probe", inference={"preset": {"name": "nobody-has-this"}})

        def judges() -> bool:
            try:
                self.client.create(WORKSPACES, probe, "default", dry_run=True)
            except ApiError as refusal:
                return "is no known preset" in str(refusal)
            return False

        wait_until(judges, 30.0, "the admission policy to take effect")

    @property
    def _environment(self) -> dict[str, str]:
        quiet = {"METRICS_BIND_ADDRESS": "0", "HEALTH_PROBE_BIND_ADDRESS": "0", "LEADER_ELECT": "false"}
        prefixed = {
            f"{prefix}{key}": value for key, value in quiet.items() for prefix in ("KAITO_", "GPU_PROVISIONER_")
        }
        return {**self.cluster.environment, **prefixed, **self.settings, "RELEASE_NAMESPACE": RELEASE_NAMESPACE}

    def start_controller(self) -> Process:
        return self._started("kaito_controller")

    def start_replica(self) -> Process:
        """A controller that works only while it leads; it may have to wait for that."""
        elects = {"KAITO_LEADER_ELECT": "true", "KAITO_LEADER_ELECTION_NAMESPACE": RELEASE_NAMESPACE}
        environment = {**self._environment, **elects}
        process = Process.module("kaito_controller", "--log-format=console", env=environment, log_dir=self.folder)
        return process.start()

    def start_provisioner(self) -> Process:
        return self._started("gpu_provisioner")

    def process(self, module: str) -> Process:
        """An operator of this rig, not started yet."""
        arguments = {"env": self._environment, "log_dir": self.folder, "python": self.python}
        return Process.module(module, "--log-format=console", **arguments)

    def _started(self, module: str) -> Process:
        process = self.process(module).start()
        process.wait_for_output("workers started", 60.0)
        return process

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """An object of one of the `KINDS`. Raises NotFound."""
        return self.client.get(KINDS[kind], name, namespace or None)

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """The same; None while there is none."""
        try:
            return self.get(kind, name, namespace)
        except NotFound:
            return None

    def uid(self, kind: str, name: str, namespace: str) -> str:
        """Which of several objects of this name it is; "" while there is none."""
        return uid_of(self.find(kind, name, namespace) or {})

    def items(self, resource: Resource, namespace: str, selector: str = "") -> list[Object]:
        """All objects of a type in a namespace, or those that carry the labels."""
        return self.client.list(resource, namespace, label_selector=selector or None).items

    def workspace(self, name: str, namespace: str) -> Object | None:
        return next((w for w in self.items(WORKSPACES, namespace) if name_of(w) == name), None)

    def condition(self, name: str, namespace: str, kind: str = "WorkspaceReady") -> tuple[str, str, str]:
        """(status, reason, message)."""
        found = self.workspace(name, namespace) or {}
        shown = get_condition((found.get("status") or {}).get("conditions"), kind) or {}
        return str(shown.get("status", "")), str(shown.get("reason", "")), str(shown.get("message", ""))

    def wait_for(
        self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0, process: Process | None = None
    ) -> Any:
        """`process`: which must live meanwhile; the controller when not given."""
        return (process or self.controller).wait_for(condition, timeout_s, what)

    def wait_ready(self, name: str, namespace: str, timeout_s: float = 60.0) -> None:
        self._wait_shown(name, namespace, lambda shown: shown[0] == "True", "WorkspaceReady", timeout_s)

    def wait_reason(
        self, name: str, namespace: str, reason: str, kind: str = "WorkspaceReady", timeout_s: float = 60.0
    ) -> str:
        """Wait until a condition carries `reason`; its message."""
        return self._wait_shown(name, namespace, lambda shown: shown[1] == reason, f"{kind} {reason}", timeout_s, kind)[
            2
        ]

    def _wait_shown(
        self,
        name: str,
        namespace: str,
        test: Callable[[tuple[str, str, str]], bool],
        what: str,
        timeout_s: float,
        kind: str = "WorkspaceReady",
    ) -> tuple[str, str, str]:
        seen: list[tuple[str, str, str]] = []
        deadline = time.monotonic() + timeout_s

        def look() -> bool:
            shown = self.condition(name, namespace, kind)
            if not seen or seen[-1][:2] != shown[:2]:
                seen.append(shown)
            assert time.monotonic() < deadline, f"{what} of {namespace}/{name} not within {timeout_s:g} s; seen: {seen}"
            return test(shown)

        self.controller.wait_for(look, timeout_s + 5, what)
        return seen[-1]

    def events(self, namespace: str) -> set[str]:
        """Reasons of the Events about Workspaces."""
        found = self.items(EVENTS, namespace)
        return {event["reason"] for event in found if event["regarding"].get("kind") == "Workspace"}

    def notes(self, namespace: str, reason: str) -> str:
        """What the Events with this reason say; waits until there is one."""

        def found() -> list[str]:
            return [event["note"] for event in self.items(EVENTS, namespace) if event["reason"] == reason]

        return "\n".join(self.wait_for(found, f"an Event {reason}"))

    def wait_explained(
        self, name: str, namespace: str, reason: str, kind: str = "WorkspaceReady", timeout_s: float = 60.0
    ) -> str:
        """Wait until a condition and an Event carry `reason`; the condition's message at that moment."""
        message = self.wait_reason(name, namespace, reason, kind, timeout_s)
        self.wait_for(lambda: reason in self.events(namespace), f"the Event {reason}", timeout_s)
        return message

    def wait_observed(self, name: str, namespace: str) -> None:
        """Wait until the controller has looked at the newest generation."""

        def observed() -> bool:
            found = self.workspace(name, namespace) or {}
            conditions = (found.get("status") or {}).get("conditions") or []
            return bool(conditions) and all(
                c["observedGeneration"] == found["metadata"]["generation"] for c in conditions
            )

        self.wait_for(observed, f"another look at {namespace}/{name}")

    def worker_nodes(self, name: str, namespace: str) -> list[str]:
        """status.workerNodes."""
        return list(((self.workspace(name, namespace) or {}).get("status") or {}).get("workerNodes") or [])

    def bring_node(self, name: str, labels: dict[str, str], *, vm_size: str = GPU_SIZE) -> VirtualMachine:
        """A VM that no pool and no Machine knows of joins the cluster, as a user's own would; wait until its Node is Ready."""
        vm = VirtualMachine(pool="", node_name=name, provider_id=f"brought:///{name}", vm_size=vm_size, labels=labels)
        self.cluster.actors.fleet.boot(vm)
        self.wait_for(lambda: self._is_ready(name), f"node {name}")
        return vm

    def take_away(self, vm: VirtualMachine) -> None:
        """The VM of `bring_node` ends, and its Node with it."""
        self.cluster.actors.fleet.shut_down(vm)
        wait_until(lambda: self.find("node", vm.node_name) is None, 30.0, f"the end of node {vm.node_name}")

    def _is_ready(self, node: str) -> bool:
        conditions = ((self.find("node", node) or {}).get("status") or {}).get("conditions")
        return (get_condition(conditions, "Ready") or {}).get("status") == "True"

    def machines(self, name: str, namespace: str) -> list[Object]:
        selector = f"kaito.sh/workspace={name},kaito.sh/workspacenamespace={namespace}"
        return self.items(self.orders, "", selector)

    def clean(self, namespace: str) -> None:
        """Delete all Workspaces of a namespace and wait until they and their Machines are gone."""
        self.kubectl("delete", "workspaces", "--all", "-n", namespace, "--wait=false")
        wait_until(
            lambda: not self._workspaces(namespace), 90.0, f"deletion in {namespace}: {self._workspaces(namespace)}"
        )
        if self._with_crd:
            left = self.items(self.orders, "", f"kaito.sh/workspacenamespace={namespace}")
            assert not left, f"Machines of {namespace} survived their Workspaces"

    def _workspaces(self, namespace: str) -> list[str]:
        """What the Workspaces of a namespace say of their deletion."""
        found = self.items(WORKSPACES, namespace)
        conditions = [c for w in found for c in (w.get("status") or {}).get("conditions", [])]
        return [name_of(w) for w in found] + [c["message"] for c in conditions if c["type"] == "WorkspaceDeleting"]
