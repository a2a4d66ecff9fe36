"""The operators' own pods: killed, drained and upgraded while they are at work. Nothing is ordered twice, no Workspace changes."""

from __future__ import annotations

from typing import Any

from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.images import UPGRADE
from hack.envtest.nodes.product import DEPLOYMENTS, NAMESPACE, Product
from test.cluster.user import User

NAME = "workspace-phi-3-mini"


def leader(product: Product, name: str) -> dict[str, Any]:
    """The pod that holds an operator's Lease; {} while it is nobody's that lives."""
    leases = product.kubectl.json("get", "leases", "-n", NAMESPACE)["items"]
    holders = [lease["spec"].get("holderIdentity") or "" for lease in leases]
    pods = product.kubectl.json("get", "pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={name}")["items"]
    return next((pod for pod in pods if any(pod["metadata"]["name"] in holder for holder in holders)), {})


def kill(cluster: NodeCluster, pod: dict[str, Any]) -> None:
    """SIGKILL to the process, as the kernel would."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    cluster.vms.node(pod["spec"]["nodeName"]).ctr("tasks", "kill", "--signal", "SIGKILL", container)


def orders(cluster: NodeCluster, pool: str) -> int:
    """How often a pool was ordered."""
    return sum(1 for call in cluster.cloud.server.calls if call.method == "PUT" and call.name == pool)


def test_both_operators_killed_in_the_middle_order_nothing_twice(
    cluster: NodeCluster, product: Product, user: User
) -> None:
    user.apply(user.sample("inference-phi-3-mini.yaml"))
    user.wait(lambda: user.machines(NAME), "a Machine")
    (machine,) = user.machines(NAME)
    for name in DEPLOYMENTS:
        kill(cluster, leader(product, name))

    user.wait_ready(NAME)

    assert user.machines(NAME) == [machine]
    assert orders(cluster, machine) == 1


def test_drained_leader_is_followed_by_the_other_replica(cluster: NodeCluster, product: Product, user: User) -> None:
    first = user.wait(lambda: leader(product, "kaito-controller"), "a leader")
    node = first["spec"]["nodeName"]
    cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s", timeout_s=130)
    try:
        user.apply(user.sample("inference-phi-3-mini.yaml"))
        user.wait_ready(NAME)
        assert {leader(product, name)["spec"]["nodeName"] for name in DEPLOYMENTS}.isdisjoint({node})
        (machine,) = user.machines(NAME)
        assert orders(cluster, machine) == 1
    finally:
        cluster.kubectl("uncordon", node)


def test_rolling_upgrade_under_load_changes_no_workspace(
    cluster: NodeCluster, product: Product, quickstart: User, user: User
) -> None:
    def world() -> list[tuple[str, str, int]]:
        found = [*quickstart.objects("workspaces,deployments,services"), *quickstart.pods(NAME)]
        found += quickstart.objects("machines", "-l", f"kaito.sh/workspacenamespace={quickstart.namespace}")
        return [(o["kind"], o["metadata"]["uid"], o["metadata"].get("generation", 0)) for o in found]

    before, old = world(), leader(product, "kaito-controller")["metadata"]["name"]
    user.apply(user.sample("inference-phi-3-mini.yaml"))

    image = product.install(label=UPGRADE)

    user.wait(lambda: leader(product, "kaito-controller").get("metadata", {}).get("name", old) != old, "a new leader")
    assert leader(product, "kaito-controller")["spec"]["containers"][0]["image"] == image
    user.wait_ready(NAME)
    quickstart.wait_ready(NAME)
    assert [each for each in world() if each[1] in {uid for _, uid, _ in before}] == before
    (machine,) = user.machines(NAME)
    assert orders(cluster, machine) == 1, "ordered while the operators changed"
