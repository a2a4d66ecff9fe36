"""A real Prometheus in a pod reads both operators as the shipped ServiceMonitors say, and from where the shipped NetworkPolicies let it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from hack.envtest.nodes import stock
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.policies import enforced
from hack.envtest.nodes.product import DEPLOYMENTS, NAMESPACE, Product
from hack.envtest.nodes.registry import OPEN
from hack.localcluster.cloud.cloud import SYSTEM_POOL
from test.cluster.user import User
from test.install import shipped

IMAGE = f"{OPEN}/prometheus:1"
PORT = 9090
PROMETHEUS, STRANGER = "prometheus", "stranger"
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=4).read().decode())"


def job(monitor: dict[str, Any], product: Product) -> dict[str, Any]:
    """What the Prometheus operator makes of a ServiceMonitor, but for the interval. The targets are looked up here: Debian's Prometheus is
    built without Kubernetes' service discovery."""
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint.keys() == {"port", "path", "interval"}, "a setting that this test would leave out"
    chosen = ",".join(f"{key}={value}" for key, value in monitor["spec"]["selector"]["matchLabels"].items())
    slices = product.kubectl.json("get", "endpointslices", "-n", NAMESPACE, "-l", chosen)["items"]
    targets = [
        {"targets": [f"{address}:{port['port']}"], "labels": {"pod": entry["targetRef"]["name"]}}
        for part in slices
        for port in part["ports"]
        for entry in part["endpoints"]
        for address in entry["addresses"]
        if port["name"] == endpoint["port"]
    ]
    return {
        "job_name": monitor["metadata"]["name"],
        "metrics_path": endpoint["path"],
        "static_configs": targets,
    }


def pod(name: str, image: str, *arguments: str) -> dict[str, Any]:
    """As small as can be, with the ConfigMap of its name, if there is one, in `/etc/own`."""
    mount = {"name": "own", "mountPath": "/etc/own"}
    spec = {
        "containers": [{"name": name, "image": image, "args": [*arguments], "volumeMounts": [mount]}],
        "volumes": [{"name": "own", "configMap": {"name": name, "optional": True}}],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def prometheus(cluster: NodeCluster, product: Product, user: User) -> None:
    """In a namespace with the label that the NetworkPolicies ask for."""
    cluster.open.push(cluster.images.layout(stock.prometheus(cluster.images)), stock.path_of(IMAGE))
    monitors = shipped.of_kind(shipped.base("prometheus"), "ServiceMonitor")
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job(monitor, product) for monitor in monitors]}
    cluster.kubectl("label", "namespace", user.namespace, "metrics=enabled")
    user.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": PROMETHEUS},
            "data": {"prometheus.yml": yaml.safe_dump(config)},
        },
        pod(PROMETHEUS, IMAGE, "--config.file=/etc/own/prometheus.yml", "--storage.tsdb.path=/tmp/data"),
    )
    user.kubectl("wait", "--for=condition=Ready", "--timeout=90s", f"pod/{PROMETHEUS}")


@pytest.fixture
def stranger(cluster: NodeCluster, user: User) -> Iterator[User]:
    """Somebody in a namespace without the label, with a pod that can ask."""
    other = User(cluster, f"{user.namespace}-stranger")
    cluster.kubectl("create", "namespace", other.namespace)
    other.apply(pod(STRANGER, stock.MODEL, "python3", "/workspace/inference_api.py"))
    other.kubectl("wait", "--for=condition=Ready", "--timeout=90s", f"pod/{STRANGER}")
    yield other
    other.leave()


def series(user: User, query: str) -> list[dict[str, Any]]:
    """What an instant query gives, asked through the API server."""
    path = f"/api/v1/namespaces/{user.namespace}/pods/{PROMETHEUS}:{PORT}/proxy/api/v1/query?query={quote(query)}"
    reply = user.cluster.kubectl.run("get", "--raw", path)
    found: list[dict[str, Any]] = json.loads(reply.stdout)["data"]["result"] if reply.returncode == 0 else []
    return found


def test_every_replica_is_scraped_from_a_labelled_namespace_and_from_no_other(
    cluster: NodeCluster, product: Product, user: User, prometheus: None, stranger: User
) -> None:
    def get(kind: str, *where: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = product.kubectl.json("get", kind, *where)["items"]
        return items

    pods = [each for each in get("pods", "-A") if each["status"]["phase"] == "Running"]
    operators = [each for each in pods if each["metadata"]["namespace"] == NAMESPACE]
    ask = ["exec", "-n", stranger.namespace, STRANGER, "--", "python3", "-c", ASK]
    urls = [f"http://{each['status']['podIP']}:8080/metrics" for each in operators]
    assert "leader_election_master_status" in cluster.kubectl(*ask, urls[0]), "as long as no policy is enforced"

    nodes = [cluster.vms.node(each["metadata"]["name"]) for each in get("nodes", "-l", f"agentpool={SYSTEM_POOL}")]
    with enforced(nodes, get("networkpolicies", "-n", NAMESPACE), pods, get("namespaces")):
        since = time.time()
        up = user.wait(
            lambda: len(found := series(user, f"up == 1 and timestamp(up) > {since}")) == 4 and found,
            lambda: f"four targets to be up: {series(user, 'up')}",
            timeout_s=60.0,
        )
        refused = [cluster.kubectl.run(*ask, url) for url in urls]

    scraped = sorted((target["metric"]["job"], target["metric"]["pod"]) for target in up)
    assert scraped == sorted(
        (each["metadata"]["labels"]["app.kubernetes.io/name"], each["metadata"]["name"]) for each in operators
    )
    assert sorted({name for name, _ in scraped}) == sorted(DEPLOYMENTS)
    leading = series(user, "leader_election_master_status == 1")
    assert sorted(target["metric"]["job"] for target in leading) == sorted(DEPLOYMENTS), "one leader each"
    assert all(reply.returncode and "timed out" in reply.stderr for reply in refused), refused
