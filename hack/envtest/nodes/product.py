"""The product installed as a user would: an overlay over `config/default` that changes image names and the cloud's address, applied.

The operators' image is built by the project's Dockerfile and pulled by the nodes from the cluster's registry.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from hack.envtest.nodes import images, stock
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.network import HUB_ADDRESS
from hack.envtest.nodes.registry import OPEN
from hack.render.kustomize import ROOT

NAMESPACE = "kaito-system"
DEPLOYMENTS = ("kaito-controller", "gpu-provisioner")
REPOSITORY = "kaito-operator"
START_TIMEOUT_S = 180


class Product:
    """The product on one cluster."""

    def __init__(self, cluster: NodeCluster) -> None:
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self._tag = 0

    def install(self, *, label: str = "") -> str:
        """Build, push, apply and wait; again with a `label`, which makes another image, it is an upgrade. The image's name."""
        recipe = images.operator(self.cluster.images)
        if label:
            recipe = images.relabelled(self.cluster.images, recipe, label)
        layout = self.cluster.images.layout(recipe)
        self._tag += 1
        self.cluster.open.push(layout, f"{REPOSITORY}:{self._tag}")
        overlay = self.write_overlay(str(self._tag))
        self._apply(overlay)
        for name in DEPLOYMENTS:
            self.kubectl(
                *("-n", NAMESPACE, "rollout", "status", f"deployment/{name}", f"--timeout={START_TIMEOUT_S}s"),
                timeout_s=START_TIMEOUT_S + 10,
            )
        return f"{OPEN}/{REPOSITORY}:{self._tag}"

    def write_overlay(self, tag: str) -> Path:
        """A copy of the shipped bases and an overlay beside them (kustomize wants relative paths)."""
        folder = self.cluster.folder / "overlay"
        shutil.copytree(ROOT / "config", folder / "config", dirs_exist_ok=True)
        target = folder / "cluster"
        target.mkdir(exist_ok=True)
        (target / "kustomization.yaml").write_text(yaml.safe_dump(self._kustomization(tag)))
        return target

    def _kustomization(self, tag: str) -> dict[str, Any]:
        cloud = self.cluster.cloud_environment
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../config/default"],
            "images": [{"name": REPOSITORY, "newName": f"{OPEN}/{REPOSITORY}", "newTag": tag}],
            "patches": [
                {"patch": yaml.safe_dump(_config_map(cloud))},
                {"patch": yaml.safe_dump(_helper_images())},
            ],
        }

    def _apply(self, overlay: Path) -> None:
        """As often as new kinds need to be known first, which `kubectl apply` says itself."""
        first = self.kubectl.run("apply", "-k", str(overlay))
        if first.returncode:
            self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
            self.kubectl("apply", "-k", str(overlay))


def _config_map(cloud: dict[str, str]) -> dict[str, Any]:
    """Which cluster, and where its cloud is."""
    metadata = {"name": "gpu-provisioner-azure", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": cloud}


def _helper_images() -> dict[str, Any]:
    """The helpers of tuning pods are pinned by digest, and a digest cannot be had from another registry's image: other names.

    Training data lies inside, at the hub of the machines.
    """
    variables = {"CRANE_IMAGE": stock.CRANE, "ADAPTER_BASE_IMAGE": stock.BUSYBOX, "DOWNLOAD_ALLOWED_HOSTS": HUB_ADDRESS}
    env = [{"name": f"KAITO_{name}", "value": value} for name, value in variables.items()]
    container = {"name": "controller", "env": env}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "kaito-controller", "namespace": NAMESPACE},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
