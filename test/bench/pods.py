"""The operators as pods on a real kubelet: image size, time to Ready, memory before and after work.

    python -m test.bench.pods            needs what `make test-cluster` needs

Work is sixty-four Workspaces that come, have a Machine and an agent pool made for them, and go: about what a busy cluster asks for in an
hour. No node joins, so that operators are measured and not kubelets.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from hack.envtest.nodes import images
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.product import DEPLOYMENTS, NAMESPACE, Product
from hack.localcluster.cloud.cloud import SYSTEM_POOL
from hack.localcluster.cloud.model import Outcome, Script
from hack.render.kustomize import ROOT
from test.support.processes import wait_until

ROUNDS, AT_ONCE = 8, 8
"""At once are as many as a namespace may order by default."""
MIB = 1 << 20
PATIENCE_S = 180.0


def image_size(layout: Path) -> int:
    """Bytes that a node pulls: the layers as they are stored."""

    def blob(descriptor: dict[str, Any]) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((layout / "blobs" / descriptor["digest"].replace(":", "/")).read_text())
        return content

    manifest = blob(json.loads((layout / "index.json").read_text())["manifests"][0])
    return sum(int(layer["size"]) for layer in manifest["layers"])


def pods(product: Product, name: str) -> list[dict[str, Any]]:
    """Of one operator."""
    items: list[dict[str, Any]] = product.kubectl.json(
        "get", "pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={name}"
    )["items"]
    return items


def seconds_to_ready(pod: dict[str, Any]) -> tuple[float, float]:
    """From being given a node (the image is pulled then), and from the start of its container; Kubernetes tells whole seconds."""
    conditions = {c["type"]: datetime.fromisoformat(c["lastTransitionTime"]) for c in pod["status"]["conditions"]}
    started = datetime.fromisoformat(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"])
    ready = conditions["Ready"]
    return (ready - conditions["PodScheduled"]).total_seconds(), (ready - started).total_seconds()


def memory(product: Product) -> dict[str, int]:
    """Operator → the largest working set of its replicas, bytes, in samples of the kubelets that are taken from now on."""
    since, found = datetime.now(UTC), dict.fromkeys(DEPLOYMENTS, 0)
    for node in product.kubectl.json("get", "nodes", "-l", f"agentpool={SYSTEM_POOL}")["items"]:
        path = f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"

        def samples(path: str = path) -> list[tuple[str, dict[str, Any]]]:
            said = json.loads(product.kubectl("get", "--raw", path))["pods"]
            ours = [pod for pod in said if pod["podRef"]["namespace"] == NAMESPACE]
            taken = [(pod["podRef"]["name"], pod["containers"][0]["memory"]) for pod in ours]
            return taken if all(datetime.fromisoformat(each["time"]) > since for _, each in taken) else []

        for pod, sample in wait_until(samples, PATIENCE_S, "new samples of the kubelet", step_s=1.0):
            (name,) = [operator for operator in DEPLOYMENTS if pod.startswith(operator)]
            found[name] = max(found[name], int(sample["workingSetBytes"]))
    return found


def workspaces() -> Iterator[dict[str, Any]]:
    """One round's."""
    for index in range(AT_ONCE):
        sample: dict[str, Any] = yaml.safe_load((ROOT / "config/samples/inference-phi-3-mini.yaml").read_text())
        sample["metadata"]["name"] = f"bench-{index}"
        yield sample


def work(product: Product) -> None:
    """All rounds. What the model's pods would need is not there: no node joins."""
    cloud = product.cluster.cloud
    cloud.pools.script(Script(Outcome.NO_NODE, times=0))
    for _ in range(ROUNDS):
        product.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(workspaces()))
        wait_until(lambda: len(cloud.pools.list()) > AT_ONCE, PATIENCE_S, "a pool for each Workspace", step_s=0.5)
        product.kubectl("delete", "workspaces", "--all", f"--timeout={PATIENCE_S:.0f}s", timeout_s=PATIENCE_S + 10)


def main() -> None:
    with NodeCluster(nodes=2) as cluster:
        layout = cluster.images.layout(images.operator(cluster.images))
        print(f"image, compressed: {image_size(layout) / MIB:.0f} MiB")
        product = Product(cluster)
        began = time.monotonic()
        product.install()
        print(f"kubectl apply until both are rolled out: {time.monotonic() - began:.0f} s")
        for name in DEPLOYMENTS:
            times = [seconds_to_ready(pod) for pod in pods(product, name)]
            scheduled, started = (
                ", ".join(f"{value:.0f}" for value in sorted(column)) for column in zip(*times, strict=True)
            )
            print(f"{name}: Ready {scheduled} s after it got a node, {started} s after its container started")
        before = memory(product)
        work(product)
        after = memory(product)
        for name in DEPLOYMENTS:
            print(f"{name}: working set {before[name] / MIB:.0f} MiB idle, {after[name] / MIB:.0f} MiB after the work")


if __name__ == "__main__":
    main()
