"""A small world for the Workspace controller: an API server, the actors of `scripted_cluster`, and the controller itself.

Nothing runs by itself except the controller: tests call `step` (mostly through `until`) until the world is as they want it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from controller_runtime.client.api import KubeClient
from controller_runtime.client.kubernetes_client import Client
from controller_runtime.conditions import get_condition
from controller_runtime.errors import NotFound
from controller_runtime.manager.manager import Manager
from controller_runtime.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    Object,
    Resource,
    labels_of,
    name_of,
)
from gpu_provisioner.api.dialect import MACHINE, Dialect
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from kaito_controller.api import labels
from kaito_controller.settings import ControllerSettings
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.setup import assemble
from test.support.processes import wait_until
from test.support.scripted_cluster import Script, ScriptedCluster

ROOT = Path(__file__).resolve().parents[2]
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
RELEASE_NAMESPACE = "kaito-system"

SETTINGS: dict[str, Any] = {
    "leader_elect": False,
    "metrics_bind_address": "0",
    "health_probe_bind_address": "0",
    "release_namespace": RELEASE_NAMESPACE,
    "load_balancer_namespaces": "*",
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
class World(ScriptedCluster):
    """Use as a context manager."""

    machine_crd: bool = True
    node_api: Dialect = MACHINE
    """By which nodes are ordered here; `machine_crd`: its CRD is there from the start."""
    script: Script = field(default_factory=Script)

    def __enter__(self) -> World:
        self._folder = tempfile.TemporaryDirectory(prefix="workspace-world-")
        self.server = ApiServer(ServerOptions()).start()
        self.kubeconfig = self.server.write_kubeconfig(Path(self._folder.name) / "admin")
        self.client = Client.from_kubeconfig(self.kubeconfig, user_agent="world")
        self.install("kaito.sh_workspaces.yaml", labels.WORKSPACES)
        if self.machine_crd:
            self.install(f"karpenter.sh_{self.node_api.resource.plural}.yaml", self.node_api.resource)
        self.create(NAMESPACES, {"metadata": {"name": RELEASE_NAMESPACE}})
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self._folder.cleanup()

    def install(self, file: str, resource: Resource) -> None:
        """Create a CRD and wait until it is served."""
        self.create(CRDS, yaml.load((ROOT / "config" / "crd" / file).read_text(), Loader=yaml.CSafeLoader))
        wait_until(lambda: self._is_served(resource), what=f"{resource} being served")

    def _is_served(self, resource: Resource) -> bool:
        try:
            self.client.list(resource)
        except NotFound:
            return False
        return True

    def apply(self, obj: Object) -> Object:
        return self.create(labels.WORKSPACES, obj)

    def patch(self, name: str, patch: Object, namespace: str = "default") -> Object:
        return self.client.patch(labels.WORKSPACES, name, patch, namespace)

    def get(self, name: str = "phi", namespace: str = "default") -> Object | None:
        return self.find(labels.WORKSPACES, name, namespace)

    def delete(self, name: str = "phi", namespace: str = "default") -> None:
        self.client.delete(labels.WORKSPACES, name, namespace)

    def condition(self, kind: str, name: str = "phi", namespace: str = "default") -> tuple[str, str, str]:
        """(status, reason, message); empty when there is none."""
        found = get_condition(((self.get(name, namespace) or {}).get("status") or {}).get("conditions"), kind) or {}
        return str(found.get("status", "")), str(found.get("reason", "")), str(found.get("message", ""))

    def add_node(self, name: str, *, gpus: int = 1, instance_type: str = "Standard_NC6s_v3", **marks: str) -> Object:
        """A node that a user brought."""
        meta = {"name": name, "labels": {"node.kubernetes.io/instance-type": instance_type, **marks}}
        self.create(NODES, {"metadata": meta})
        return self.set_node(name, ready=True, gpus=gpus)

    def add_default_tuning_configs(self) -> None:
        for file in sorted((ROOT / "config").rglob("*params*.yaml")):
            for document in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader):
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


def owners(world: World) -> dict[str, str]:
    """Machine → namespace/name by its labels."""
    return {
        name_of(m): f"{labels_of(m)['kaito.sh/workspacenamespace']}/{labels_of(m)['kaito.sh/workspace']}"
        for m in world.all(MACHINES)
    }


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
