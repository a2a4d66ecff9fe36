"""All actors of localcluster on one API server: workload controllers, garbage collection, scheduler, nodes and kubelets.

Everything here is an ordinary API client, so it also runs against a real API server; there one turns off what the real cluster brings
(`Parts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import AlreadyExists
from controller_runtime.resources import NAMESPACES, PODS, SERVICES, Object, is_deleting, labels_of, uid_of
from hack.localcluster.actors.deployments import Deployments
from hack.localcluster.actors.endpoints import Endpoints
from hack.localcluster.actors.fleet import LEASE_NAMESPACE, Fleet
from hack.localcluster.actors.garbage import GarbageCollector
from hack.localcluster.actors.jobs import Jobs
from hack.localcluster.actors.kubelet import Kubelets
from hack.localcluster.actors.nodelifecycle import NodeLifecycle
from hack.localcluster.actors.podfaults import PodFaults
from hack.localcluster.actors.podlife import MODEL_PORT
from hack.localcluster.actors.pods import is_ready
from hack.localcluster.actors.replicasets import ReplicaSets
from hack.localcluster.actors.scheduler import Scheduler
from hack.localcluster.actors.statefulsets import StatefulSets
from hack.localcluster.actors.world import World
from hack.localcluster.cloud.model import CloudIdentity
from hack.localcluster.durations import Durations
from hack.localcluster.model_server import ModelServers
from hack.localcluster.programs.runner import Programs
from hack.localcluster.timeline import Timeline


@dataclass(frozen=True, slots=True)
class Parts:
    """Which actors run. A cluster with a real control plane needs only the nodes, kubelets and node lifecycle."""

    controllers: bool = True
    garbage: bool = True
    scheduler: bool = True
    node_lifecycle: bool = True


class Actors:
    """The inhabitants of one cluster."""

    def __init__(
        self,
        client: KubeClient,
        timeline: Timeline,
        *,
        durations: Durations | None = None,
        identity: CloudIdentity | None = None,
        parts: Parts | None = None,
        programs: Programs | None = None,
    ) -> None:
        """`programs`: runs the containers of the images that it knows; without it all are played."""
        chosen = parts or Parts()
        self.client = client
        self.world = World(client, timeline, durations or Durations())
        self.pod_faults = PodFaults()
        self.models = ModelServers(self._pod_behind, timeline.clock.monotonic)
        self.fleet = Fleet(self.world, identity or CloudIdentity())
        self.programs = programs
        Kubelets(self.world, self.fleet, self.pod_faults, self.models, programs)
        self.world.informer(SERVICES)
        if chosen.controllers:
            Deployments(self.world)
            ReplicaSets(self.world)
            StatefulSets(self.world)
            Jobs(self.world)
            Endpoints(self.world)
        if chosen.garbage:
            GarbageCollector(self.world)
        if chosen.scheduler:
            Scheduler(self.world)
        if chosen.node_lifecycle:
            NodeLifecycle(self.world)

    def start(self) -> None:
        """Start everything; returns when all caches are filled."""
        self._ensure_namespace(LEASE_NAMESPACE)
        self.models.start()
        self.world.start()

    def stop(self) -> None:
        """Stop everything. Objects stay as they are."""
        self.world.stop()
        if self.programs is not None:
            self.programs.stop()
        self.models.stop()

    def backend(self, resource: str, namespace: str, name: str, port: str) -> str | None:
        """Base URL for the API server's proxy: the pod's own program, or the stand-in for it."""
        pod = self._pod_behind(resource, namespace, name)
        if pod is not None and self.programs is not None and self.programs.runs(uid_of(pod)):
            return f"http://{pod['status']['podIP']}:{MODEL_PORT}"
        return self.models.backend(resource, namespace, name, port)

    def _ensure_namespace(self, name: str) -> None:
        try:
            self.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        except AlreadyExists:
            return

    def _pod_behind(self, resource: str, namespace: str, name: str) -> Object | None:
        pods = self.world.informer(PODS)
        if resource == "pods":
            return pods.get(name, namespace)
        service = self.world.informer(SERVICES).get(name, namespace)
        selector = ((service or {}).get("spec") or {}).get("selector")
        if not selector:
            return None
        for pod in pods.list(namespace):
            labels = labels_of(pod)
            if (
                is_ready(pod)
                and not is_deleting(pod)
                and all(labels.get(key) == value for key, value in selector.items())
            ):
                return pod
        return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
