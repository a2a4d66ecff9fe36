"""A small world for the Workspace controller: an API server, a scripted provisioner, scripted kubelets, and the controller itself.

The provisioner does only what the Machine contract says that any karpenter provider does (finalizer, conditions, a Node, deletion), one
step at a time, so that a test can stop it anywhere and fail it in any way. Nothing runs by itself except the controller: tests call
`step` until the world is as they want it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller_runtime.api import KubeClient
from controller_runtime.client import Client
from controller_runtime.clock import SYSTEM_CLOCK, rfc3339
from controller_runtime.conditions import get_condition
from controller_runtime.errors import AlreadyExists, ApiError, NotFound
from controller_runtime.manager import Manager
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    STATEFUL_SETS,
    Object,
    Resource,
    controller_of,
    finalizers_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from kaito_controller.api import labels
from kaito_controller.settings import ControllerSettings
from kaito_controller.workloads import pinned_nodes
from kaito_controller.workspace.actions import MACHINES
from kaito_controller.workspace.assembly import assemble
from test.support.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
RELEASE_NAMESPACE = "kaito-system"
KARPENTER_FINALIZER = "karpenter.sh/termination"

SETTINGS: dict[str, Any] = {
    "leader_elect": False,
    "metrics_bind_address": "0",
    "health_probe_bind_address": "0",
    "release_namespace": RELEASE_NAMESPACE,
    "workers": 4,
    "graceful_shutdown_timeout_s": 4.0,
}


def workspace(name: str = "phi", namespace: str = "default", **parts: Any) -> Object:
    """A Workspace that serves phi-3 on one node; `parts` replaces top-level fields, `resource` is merged."""
    resource = {
        "instanceType": "Standard_NC6s_v3",
        "count": 1,
        "labelSelector": {"matchLabels": {"apps": name}},
        **parts.pop("resource", {}),
    }
    body: Object = {
        "apiVersion": labels.API_VERSION,
        "kind": labels.KIND,
        "metadata": {"name": name, "namespace": namespace, **parts.pop("metadata", {})},
        "resource": resource,
    }
    if "tuning" not in parts and "inference" not in parts:
        parts["inference"] = {"preset": {"name": "phi-3-mini-4k-instruct"}}
    return {**body, **parts}


def tuning(**parts: Any) -> Object:
    """The tuning part of a Workspace."""
    return {
        "preset": {"name": "phi-3-mini-128k-instruct"},
        "method": "qlora",
        "input": {"urls": ["https://example.com/data.parquet"]},
        "output": {"image": "registry.example.com/adapters/phi:0.0.1", "imagePushSecret": "push"},
        **parts,
    }


@dataclass
class Script:
    """How the outside world behaves; change it between steps."""

    launch_failure: Callable[[Object], tuple[str, str] | None] = lambda _machine: None
    """(reason, message) for a Machine that cannot be launched."""
    capacity_error: Callable[[Object], bool] = lambda _machine: False
    """As karpenter does on insufficient capacity: the provisioner deletes the Machine."""
    provisioner: bool = True
    gpus: int = 1
    node_ready: bool = True
    pod_status: Callable[[Object], Object | None] = lambda _pod: None
    """Status of a pod instead of "running and ready"."""
    job_succeeds: bool | None = True
    """None: the Job keeps running."""
    machine_deletion: bool = True


@dataclass
class World:
    """Use as a context manager."""

    machine_crd: bool = True
    script: Script = field(default_factory=Script)

    def __enter__(self) -> World:
        self._folder = tempfile.TemporaryDirectory(prefix="workspace-world-")
        self.server = ApiServer(ServerOptions()).start()
        self.kubeconfig = self.server.write_kubeconfig(Path(self._folder.name) / "admin")
        self.client = Client.from_kubeconfig(self.kubeconfig, user_agent="world")
        self.install("kaito.sh_workspaces.yaml", labels.WORKSPACES)
        if self.machine_crd:
            self.install("karpenter.sh_machines.yaml", MACHINES)
        self.create(NAMESPACES, {"metadata": {"name": RELEASE_NAMESPACE}})
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self._folder.cleanup()

    def install(self, file: str, resource: Resource) -> None:
        """Create a CRD and wait until it is served."""
        self.create(CRDS, yaml.safe_load((ROOT / "config" / "crd" / file).read_text()))
        wait_until(lambda: self._is_served(resource), what=f"{resource} being served")

    def _is_served(self, resource: Resource) -> bool:
        try:
            self.client.list(resource)
        except NotFound:
            return False
        return True

    # --- what tests do and ask -----------------------------------------------------------------------------------------------------
    def create(self, resource: Resource, obj: Object) -> Object:
        return self.client.create(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **obj})

    def apply(self, obj: Object) -> Object:
        return self.create(labels.WORKSPACES, obj)

    def patch(self, name: str, patch: Object, namespace: str = "default") -> Object:
        return self.client.patch(labels.WORKSPACES, name, patch, namespace)

    def get(self, name: str = "phi", namespace: str = "default") -> Object | None:
        return self.find(labels.WORKSPACES, name, namespace)

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        try:
            return self.client.get(resource, name, namespace)
        except NotFound:
            return None

    def delete(self, name: str = "phi", namespace: str = "default") -> None:
        self.client.delete(labels.WORKSPACES, name, namespace)

    def condition(self, kind: str, name: str = "phi", namespace: str = "default") -> tuple[str, str, str]:
        """(status, reason, message); empty when there is none."""
        found = get_condition(((self.get(name, namespace) or {}).get("status") or {}).get("conditions"), kind) or {}
        return str(found.get("status", "")), str(found.get("reason", "")), str(found.get("message", ""))

    def all(self, resource: Resource) -> list[Object]:
        try:
            return self.client.list(resource).items
        except NotFound:
            return []

    def add_node(self, name: str, *, gpus: int = 1, instance_type: str = "Standard_NC6s_v3", **marks: str) -> Object:
        """A node that a user brought."""
        meta = {"name": name, "labels": {"node.kubernetes.io/instance-type": instance_type, **marks}}
        self.create(NODES, {"metadata": meta})
        return self.set_node(name, ready=True, gpus=gpus)

    def set_node(self, name: str, *, ready: bool, gpus: int) -> Object:
        conditions = [
            {
                "type": "Ready",
                "status": "True" if ready else "False",
                "reason": "Kubelet",
                "message": "scripted",
                "lastTransitionTime": now(),
            }
        ]
        counts = {"nvidia.com/gpu": str(gpus)} if gpus else {}
        status = {"conditions": conditions, "allocatable": counts, "capacity": counts}
        return self.client.patch(NODES, name, {"status": status}, subresource="status")

    def add_default_tuning_configs(self) -> None:
        for file in sorted((ROOT / "config").rglob("*params*.yaml")):
            for document in yaml.safe_load_all(file.read_text()):
                if document and document.get("kind") == "ConfigMap":
                    document["metadata"]["namespace"] = RELEASE_NAMESPACE
                    self.create(CONFIG_MAPS, document)

    def writes(self, agent: str = "kaito-controller") -> list[str]:
        """`verb resource/name` of what a program wrote, events excluded, in order."""
        reads = ("get", "list", "watch")
        return [
            f"{entry.verb} {entry.resource}{'/' + entry.subresource if entry.subresource else ''} {entry.name} {entry.code}"
            for entry in self.server.audit
            if entry.agent.startswith(agent) and entry.verb not in reads and entry.resource not in ("events", "leases")
        ]

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> Any:
        """Let the world go on until `condition` holds."""

        def look() -> Any:
            self.step()
            return condition()

        return wait_until(look, timeout_s, what)

    def until_ready(self, name: str = "phi", namespace: str = "default", timeout_s: float = 20.0) -> None:
        self.until(
            lambda: self.condition("WorkspaceReady", name, namespace)[0] == "True",
            f"WorkspaceReady of {namespace}/{name}",
            timeout_s,
        )

    # --- the world ------------------------------------------------------------------------------------------------------------------
    def step(self) -> None:
        """Let provisioner, workload controllers, kubelets and garbage collector each do one thing."""
        for act in (self._provision, self._run_workloads, self._run_pods, self._collect):
            try:
                act()
            except (NotFound, AlreadyExists, ApiError):
                continue  # somebody else was faster; the next step looks again

    def _provision(self) -> None:
        if not self.script.provisioner:
            return
        for machine in self.all(MACHINES):
            if is_deleting(machine):
                self._terminate(machine)
            elif KARPENTER_FINALIZER not in finalizers_of(machine):
                self._patch_machine(machine, {"metadata": {"finalizers": [KARPENTER_FINALIZER]}})
            elif not (machine.get("status") or {}).get("providerID"):
                self._launch(machine)
            elif not (machine.get("status") or {}).get("nodeName"):
                self._register(machine)
            elif not has(machine, "Ready"):
                self._initialize(machine)

    def _patch_machine(self, machine: Object, patch: Object, subresource: str | None = None) -> None:
        self.client.patch(MACHINES, name_of(machine), patch, subresource=subresource)

    def _launch(self, machine: Object) -> None:
        if self.script.capacity_error(machine):
            self.client.delete(MACHINES, name_of(machine))
            return
        failure = self.script.launch_failure(machine)
        if failure is not None:
            reason, message = failure
            conditions = [
                knative("MachineLaunched", "False", reason, message),
                knative("MachineInitialized", "False", "MachineNotLaunched", "Machine is not launched"),
                knative("Ready", "False", "MachineNotLaunched", "Machine is not launched"),
            ]
            if not same_conditions(machine, conditions):
                self._patch_machine(machine, {"status": {"conditions": conditions}}, "status")
            return
        status = {
            "providerID": f"scripted:///{name_of(machine)}",
            "conditions": [
                knative("MachineLaunched", "True"),
                knative("MachineInitialized", "False", "NodeNotFound", "Node not registered with cluster"),
            ],
        }
        self._patch_machine(machine, {"status": status}, "status")

    def _register(self, machine: Object) -> None:
        node = f"node-{name_of(machine)}"
        if self.find(NODES, node) is None:
            wanted = {r["key"]: r["values"][0] for r in machine["spec"].get("requirements", [])}
            owner = {
                "apiVersion": MACHINES.api_version,
                "kind": "Machine",
                "name": name_of(machine),
                "uid": uid_of(machine),
            }
            meta = {"name": node, "labels": {**labels_of(machine), **wanted}, "ownerReferences": [owner]}
            spec = {"providerID": f"scripted:///{name_of(machine)}", "taints": machine["spec"].get("taints", [])}
            self.create(NODES, {"metadata": meta, "spec": spec})
        if self.script.node_ready:
            self.set_node(node, ready=True, gpus=self.script.gpus)
        status = {
            "nodeName": node,
            "conditions": [
                knative("MachineLaunched", "True"),
                knative("MachineRegistered", "True"),
                knative("MachineInitialized", "False", "NodeNotReady", "Node status is NotReady"),
            ],
        }
        self._patch_machine(machine, {"status": status}, "status")

    def _initialize(self, machine: Object) -> None:
        node = self.find(NODES, machine["status"]["nodeName"])
        if node is None or not has(node, "Ready"):
            return
        kinds = ("MachineLaunched", "MachineRegistered", "MachineInitialized", "Ready")
        self._patch_machine(machine, {"status": {"conditions": [knative(kind, "True") for kind in kinds]}}, "status")

    def _terminate(self, machine: Object) -> None:
        if not self.script.machine_deletion:
            return
        node = f"node-{name_of(machine)}"
        if self.find(NODES, node) is not None:
            self.client.delete(NODES, node)
        self._patch_machine(machine, {"metadata": {"finalizers": []}})

    def _run_workloads(self) -> None:
        for resource in (DEPLOYMENTS, STATEFUL_SETS):
            for workload in self.all(resource):
                pods = self._pods_of(workload, int(workload["spec"].get("replicas", 1)))
                ready = sum(1 for pod in pods if has(pod, "Ready"))
                status = {
                    "observedGeneration": workload["metadata"].get("generation"),
                    "replicas": len(pods),
                    "updatedReplicas": len(pods),
                    "readyReplicas": ready,
                }
                if any((workload.get("status") or {}).get(key) != value for key, value in status.items()):
                    self.client.patch(
                        resource, name_of(workload), {"status": status}, namespace_of(workload), subresource="status"
                    )
        for job in self.all(JOBS):
            self._run_job(job)

    def _run_job(self, job: Object) -> None:
        if (job.get("status") or {}).get("conditions"):
            return
        pods = self._pods_of(job, 1)
        if not pods or not has(pods[0], "Ready"):
            return
        if self.script.job_succeeds is True:
            done: Object = {"succeeded": 1, "conditions": [built_in("Complete", "True")]}
        elif self.script.job_succeeds is False:
            done = {
                "failed": 4,
                "conditions": [built_in("Failed", "True", "BackoffLimitExceeded", "too many failures")],
            }
        else:
            done = {"active": 1, "startTime": now()}
            if (job.get("status") or {}).get("active") == 1:
                return
        self.client.patch(JOBS, name_of(job), {"status": done}, namespace_of(job), subresource="status")
        ended = {"phase": "Succeeded" if self.script.job_succeeds else "Failed"}
        if self.script.job_succeeds is not None:
            self.client.patch(PODS, name_of(pods[0]), {"status": ended}, namespace_of(job), subresource="status")

    def _pods_of(self, workload: Object, count: int) -> list[Object]:
        """Exactly the pods that a workload controller and a scheduler would have made by now; outdated ones are replaced."""
        nodes = [name for name in pinned_nodes(workload) if self.find(NODES, name) is not None]
        marker = f"{uid_of(workload)}-{workload['metadata'].get('generation')}"
        found = []
        for index in range(count):
            name = f"{name_of(workload)}-{index}"
            pod = self.find(PODS, name, namespace_of(workload))
            if pod is not None and pod["metadata"]["annotations"]["marker"] != marker:
                self.client.delete(PODS, name, namespace_of(workload), grace_period_s=0)
                continue
            if pod is None and index < len(nodes):
                pod = self._make_pod(workload, name, nodes[index], marker)
            if pod is not None:
                found.append(pod)
        return found

    def _make_pod(self, workload: Object, name: str, node: str, marker: str) -> Object:
        template = workload["spec"]["template"]
        owner = {
            "apiVersion": "apps/v1",
            "kind": workload["kind"],
            "name": name_of(workload),
            "uid": uid_of(workload),
            "controller": True,
        }
        meta = {
            "name": name,
            "namespace": namespace_of(workload),
            "labels": {labels.WORKSPACE: template["metadata"]["labels"][labels.WORKSPACE]},
            "annotations": {"marker": marker},
            "ownerReferences": [owner],
        }
        containers = [{"name": c["name"], "image": c["image"]} for c in template["spec"]["containers"]]
        return self.create(PODS, {"metadata": meta, "spec": {"nodeName": node, "containers": containers}})

    def _run_pods(self) -> None:
        for pod in self.all(PODS):
            status = self.script.pod_status(pod)
            if status is None:
                if (pod.get("status") or {}).get("phase") in ("Running", "Succeeded", "Failed"):
                    continue
                container = {
                    "name": pod["spec"]["containers"][0]["name"],
                    "ready": True,
                    "state": {"running": {"startedAt": now()}},
                    "image": "i",
                    "imageID": "i",
                    "restartCount": 0,
                }
                status = {
                    "phase": "Running",
                    "conditions": [built_in("Ready", "True")],
                    "containerStatuses": [container],
                }
            known = pod.get("status") or {}
            if any(known.get(key) != value for key, value in status.items()):
                self.client.patch(PODS, name_of(pod), {"status": status}, namespace_of(pod), subresource="status")

    def _collect(self) -> None:
        """Background garbage collection: what a gone owner controlled goes too; a Node's pods go with it."""
        for pod in self.all(PODS):
            owner = controller_of(pod)
            kinds = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, "Job": JOBS}
            live = self.find(kinds[owner["kind"]], owner["name"], namespace_of(pod)) if owner else pod
            orphaned = live is None or (owner is not None and uid_of(live) != owner["uid"])
            homeless = self.find(NODES, pod["spec"].get("nodeName", "")) is None
            if orphaned or homeless:
                self.client.delete(PODS, name_of(pod), namespace_of(pod), grace_period_s=0)


class Operator:
    """The controller, with all it remembers; `stop` and a new one is a restart."""

    def __init__(
        self, world: World, *, wrap: Callable[[KubeClient], Any] = lambda client: client, **settings: Any
    ) -> None:
        self.settings = ControllerSettings(**{**SETTINGS, "kubeconfig": str(world.kubeconfig), **settings})
        self.client = Client.from_kubeconfig(world.kubeconfig, user_agent="kaito-controller")
        self.manager = Manager(wrap(self.client), self.settings, name="kaito-controller")
        self.controller = assemble(self.manager, self.settings)

    def __enter__(self) -> Operator:
        self.manager.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.stop()


def now() -> str:
    return rfc3339(SYSTEM_CLOCK.now())


def knative(kind: str, status: str, reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}


def built_in(kind: str, status: str, reason: str = "Scripted", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now()}


def has(obj: Object, kind: str) -> bool:
    found = get_condition((obj.get("status") or {}).get("conditions"), kind)
    return found is not None and found.get("status") == "True"


def same_conditions(obj: Object, wanted: list[Object]) -> bool:
    def bare(conditions: list[Object]) -> list[tuple[Any, ...]]:
        return [(c["type"], c["status"], c.get("reason"), c.get("message")) for c in conditions]

    return bare((obj.get("status") or {}).get("conditions") or []) == bare(wanted)
