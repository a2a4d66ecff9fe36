"""One localcluster for a module's tests; each test has its own names in it and leaves nothing behind that others would meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import NotFound
from controller_runtime.resources import DEPLOYMENTS, JOBS, NODES, PODS, STATEFUL_SETS, Object, Resource
from hack.localcluster.cluster import LocalCluster
from test.support.kubectl import Kubectl
from test.support.processes import wait_until

SCALE = 600.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(time_scale=SCALE) as running:
        admin = running.client()
        wait_until(lambda: sum(map(_is_ready, admin.list(NODES).items)) == 2, what="the canary pools' nodes ready")
        yield running


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


@pytest.fixture(scope="module")
def kubectl(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    return Kubectl(cluster.kubeconfig, tmp_path_factory.mktemp("home"))


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """An admin client; workloads, scripts and faults of the test are removed afterwards."""
    admin = cluster.client()
    yield admin
    cluster.faults.clear()
    cluster.cloud.pools.clear_scripts()
    cluster.actors.pod_faults.clear()
    for resource in (DEPLOYMENTS, STATEFUL_SETS, JOBS, PODS):
        for obj in admin.list(resource, "default").items:
            try:
                admin.delete(resource, obj["metadata"]["name"], "default", propagation="Background", grace_period_s=0)
            except NotFound:
                continue
    wait_until(lambda: not admin.list(PODS, "default").items, what="no pods left")


@pytest.fixture
def eventually(client: Client) -> Callable[..., Object]:
    """Wait until an object of that name satisfies a predicate; returns it."""

    def wait(resource: Resource, name: str, holds: Callable[[Object], Any], timeout_s: float = 20.0) -> Object:
        namespace = "default" if resource.namespaced else None

        def check() -> Object | None:
            try:
                obj = client.get(resource, name, namespace)
            except NotFound:
                return None
            return obj if holds(obj) else None

        found = wait_until(check, timeout_s, f"{resource} {name} as wanted")
        assert found is not None
        return found

    return wait
