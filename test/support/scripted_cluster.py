"""What surrounds the Workspace controller in its small world: a scripted provisioner, workload controllers, kubelets, a garbage collector.

The provisioner does only what the Machine contract says that any karpenter provider does (finalizer, conditions, a Node, deletion), one
step at a time, so that a test can stop it anywhere and fail it in any way. Nothing here runs by itself: each `step` lets each do one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.clock import SYSTEM_CLOCK, rfc3339
from controller_runtime.conditions import get_condition
from controller_runtime.errors import AlreadyExists, ApiError, NotFound
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    SERVICES,
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
from gpu_provisioner.api.dialect import Dialect
from kaito_controller.api import labels
from kaito_controller.workloads import is_bound_to_ordered, pinned_nodes

KARPENTER_FINALIZER = "karpenter.sh/termination"
OF_WORKSPACES = (SERVICES, DEPLOYMENTS, STATEFUL_SETS, JOBS, CONFIG_MAPS)


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


class ScriptedCluster:
    """The actors. Whoever derives from it sets `client`, `script` and `node_api`."""

    client: Client
    script: Script
    node_api: Dialect

    def create(self, resource: Resource, obj: Object) -> Object:
        return self.client.create(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **obj})

    def find(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        try:
            return self.client.get(resource, name, namespace)
        except NotFound:
            return None

    def all(self, resource: Resource) -> list[Object]:
        try:
            return self.client.list(resource).items
        except NotFound:
            return []

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
        for machine in self.all(self.node_api.resource):
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
        said = (patch.get("status") or {}).get("conditions")
        if said:
            patch = {"status": {**patch["status"], "conditions": [self._spoken(condition) for condition in said]}}
        self.client.patch(self.node_api.resource, name_of(machine), patch, subresource=subresource)

    def _spoken(self, said: Object) -> Object:
        """A condition of a Machine as the node API of this world writes it."""
        words = [str(said.get(key, "")) for key in ("type", "status", "reason", "message")]
        return {"lastTransitionTime": now(), **self.node_api.written(words[0], words[1], words[2], words[3], 1)}

    def _launch(self, machine: Object) -> None:
        if self.script.capacity_error(machine):
            self.client.delete(self.node_api.resource, name_of(machine))
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
                "apiVersion": self.node_api.api_version,
                "kind": self.node_api.kind,
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
        nodes = self._nodes_of(workload)
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

    def _nodes_of(self, workload: Object) -> list[str]:
        """The nodes that a scheduler would find: those bound to by name, and those that Machines of the Workspace became."""
        named = [name for name in pinned_nodes(workload) if self.find(NODES, name) is not None]
        if not is_bound_to_ordered(workload):
            return named
        wanted = {labels.WORKSPACE: name_of(workload), labels.WORKSPACE_NAMESPACE: namespace_of(workload)}.items()
        return [*named, *sorted(name_of(node) for node in self.all(NODES) if wanted <= labels_of(node).items())]

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
        for resource in OF_WORKSPACES:
            for obj in self.all(resource):
                owner = controller_of(obj) or {}
                if owner.get("kind") != labels.KIND or is_deleting(obj):
                    continue
                live = self.find(labels.WORKSPACES, owner["name"], namespace_of(obj))
                if live is None or uid_of(live) != owner["uid"]:
                    self.client.delete(resource, name_of(obj), namespace_of(obj), uid=uid_of(obj))
        for pod in self.all(PODS):
            owner = controller_of(pod)
            kinds = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS, "Job": JOBS}
            live = self.find(kinds[owner["kind"]], owner["name"], namespace_of(pod)) if owner else pod
            orphaned = live is None or (owner is not None and uid_of(live) != owner["uid"])
            homeless = self.find(NODES, pod["spec"].get("nodeName", "")) is None
            if orphaned or homeless:
                self.client.delete(PODS, name_of(pod), namespace_of(pod), grace_period_s=0)


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
