"""A GPU node that somebody brought, and a Workspace with a pod template of its own on it."""

from __future__ import annotations

from typing import Any

from hack.envtest.nodes import stock
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.node import Node
from test.support.processes import wait_until

POOL = "brought"
SIZE = "Standard_NC6s_v3"
LABEL = "brought-in"
"""Of the node. AKS's own, agentpool, is no tenant's to ask for."""
NAME = "own"
"""Of the Workspace."""
NODE_TIMEOUT_S = 90.0


def bring(cluster: NodeCluster) -> Node:
    """A node that is there before any Workspace, with a GPU."""
    cluster.cloud.pools.add_canary(POOL, vm_size=SIZE)
    return brought(cluster, POOL)


def brought(cluster: NodeCluster, pool: str) -> Node:
    """The node of a pool that somebody has made, once it shows its GPU, with a label to choose it by."""

    def shown() -> str:
        nodes = cluster.kubectl.json("get", "nodes", "-l", f"agentpool={pool}")["items"]
        return next(
            (n["metadata"]["name"] for n in nodes if "nvidia.com/gpu" in n["status"].get("allocatable", {})), ""
        )

    name = wait_until(shown, NODE_TIMEOUT_S, "a bring-your-own node with a GPU", step_s=0.5)
    cluster.kubectl("label", "node", name, f"{LABEL}={pool}")
    return cluster.vms.node(name)


def own(node: Node, *command: str, image: str = stock.MODEL, limits: dict[str, str] | None = None) -> dict[str, Any]:
    """A Workspace with a pod template of the user's, on that node. `command` is Python; the model server when there is none."""
    program = ["python3", "-c", *command] if command else ["python3", "/workspace/inference_api.py"]
    container: dict[str, Any] = {
        "name": "server",
        "image": image,
        "command": program,
        "ports": [{"containerPort": 5000}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 5000}, "periodSeconds": 2, "failureThreshold": 2},
    }
    if limits:
        container["resources"] = {"limits": limits}
    return {
        "apiVersion": "kaito.sh/v1alpha1",
        "kind": "Workspace",
        "metadata": {"name": NAME},
        "resource": resource(node, POOL, SIZE),
        "inference": {"template": {"metadata": {}, "spec": {"containers": [container]}}},
    }


def resource(node: Node, pool: str, size: str) -> dict[str, Any]:
    """What a Workspace says that wants this node and no other."""
    return {
        "instanceType": size,
        "preferredNodes": [node.name],
        "labelSelector": {"matchLabels": {LABEL: pool}},
    }
