"""Real provisioner processes, as their own service account, against a cluster and its cloud."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import NAMESPACES, Resource
from test.support.clusters import AnyCluster, make_cluster
from test.support.processes import Process, wait_until

ROOT = Path(__file__).parents[3]
NAMESPACE = "kaito-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:gpu-provisioner"
TIME_SCALE = 60.0

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
RBAC = "rbac.authorization.k8s.io"
KINDS = {
    "ClusterRole": Resource(RBAC, "v1", "clusterroles", "ClusterRole", False),
    "ClusterRoleBinding": Resource(RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    "Role": Resource(RBAC, "v1", "roles", "Role", True),
    "RoleBinding": Resource(RBAC, "v1", "rolebindings", "RoleBinding", True),
}


@pytest.fixture
def cluster() -> Iterator[AnyCluster]:
    with make_cluster(time_scale=TIME_SCALE) as cluster:
        install(cluster.client())
        yield cluster


@pytest.fixture
def client(cluster: AnyCluster) -> Client:
    return cluster.client(user_agent="test")


def install(client: Client) -> None:
    """The Machine CRD and the roles that are shipped."""
    client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    client.create(CRDS, yaml.safe_load((ROOT / "config/crd/karpenter.sh_machines.yaml").read_text()))
    for file in ("gpu-provisioner.yaml", "leader-election.yaml"):
        for obj in yaml.safe_load_all((ROOT / "config/rbac" / file).read_text()):
            if obj["kind"] in KINDS:
                client.create(KINDS[obj["kind"]], obj, obj["metadata"].get("namespace"))
    wait_until(lambda: _is_served(client), what="the Machine CRD")


def _is_served(client: Client) -> bool:
    conditions = client.get(CRDS, "machines.karpenter.sh").get("status", {}).get("conditions", [])
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


@pytest.fixture
def provisioner(cluster: AnyCluster, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start one: `provisioner(flag="value")` adds flags; it is stopped after the test."""
    started: list[Process] = []

    def start(**flags: Any) -> Process:
        settings = {
            "time_scale": TIME_SCALE,
            "leader_elect": "false",
            "metrics_bind_address": "0",
            "health_probe_bind_address": "0",
            "workers": 10,
            **flags,
        }
        environment = {**cluster.environment, "KUBECONFIG": str(cluster.kubeconfig_for(ACCOUNT))}
        args = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        process = Process.module("gpu_provisioner", *args, env=environment, log_dir=tmp_path).start()
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            pass
