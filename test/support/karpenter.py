"""Karpenter's own core with its kwok provider as the provisioner: a process that makes Node objects, and played machines behind them.

The provider creates a Node and nothing else. Here each becomes a VM of localcluster's fleet, so that a kubelet reports it ready with its
GPUs and runs pods; who registers, labels, taints, drains and deletes it is Karpenter.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

from controller_runtime.errors import ApiError
from controller_runtime.resources import NODES, Object, name_of
from hack.envtest import binaries
from hack.localcluster.cloud.model import VirtualMachine
from test.support.kaito_rig import GPU_SIZE, Rig
from test.support.processes import Process

NODE_CLASS = "karpenter.kwok.sh/KWOKNodeClass/default"
PROVIDER = "kwok://"
OF_TODAY = ("Standard_NV36ads_A10_v5", "Standard_NC40ads_H100_v5")
"""Types that their cloud does not retire."""
SIZES = {GPU_SIZE: "1", "Standard_NC12s_v3": "2", **dict.fromkeys(OF_TODAY, "1")}
LOOK_EVERY_S = 0.2


def instance_types() -> list[dict[str, Any]]:
    """Of the provider: as our tests name them, in one zone, on demand and spot."""
    offerings = [_offering("on-demand", 1.0), _offering("spot", 0.3)]
    resources = {"cpu": "6", "memory": "112Gi", "pods": "110", "ephemeral-storage": "500Gi"}
    return [
        {
            "name": name,
            "offerings": offerings,
            "architecture": "amd64",
            "operatingSystems": ["linux"],
            "resources": {**resources, "nvidia.com/gpu": gpus},
        }
        for name, gpus in SIZES.items()
    ]


def _offering(capacity: str, price: float) -> dict[str, Any]:
    requirements = {"karpenter.sh/capacity-type": capacity, "topology.kubernetes.io/zone": "test-zone-a"}
    wanted = [{"key": key, "operator": "In", "values": [value]} for key, value in requirements.items()]
    return {"Price": price, "Available": True, "Requirements": wanted}


class KarpenterRig(Rig):
    """As `Rig`, with Karpenter in the place of our provisioner and its own CRDs."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, provisioner=False, node_api="nodeclaim", node_class=NODE_CLASS, **settings)
        self._stop = threading.Event()

    def _install(self) -> None:
        module = binaries.karpenter().module
        source = subprocess.run(
            ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/karpenter"],
            cwd=module,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for file in sorted((Path(source) / "pkg/apis/crds").glob("*.yaml")):
            self.kubectl("create", "-f", str(file))
        self.kubectl("create", "-f", f"{source}/kwok/apis/crds/karpenter.kwok.sh_kwoknodeclasses.yaml")
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        group, kind, name = NODE_CLASS.split("/")
        self.kubectl.apply({"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": name}})
        self._with_crd = False  # it is there; the parent installs ours where it is not
        super()._install()
        self._with_crd = True
        self.karpenter = self.start_karpenter()
        self._stack.callback(lambda: self.karpenter.__exit__())
        host = threading.Thread(target=self._host, name="kwok-machines", daemon=True)
        host.start()
        self._stack.callback(host.join, 10)
        self._stack.callback(self._stop.set)

    def start_karpenter(self) -> Process:
        """Another process of it."""
        types = self.folder / "instance-types.json"
        types.write_text(json.dumps(instance_types()))
        binary = binaries.ensure(binaries.karpenter()) / "kwok"
        environment = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "INSTANCE_TYPES_FILE_PATH": str(types),
            "DISABLE_LEADER_ELECTION": "true",
            "METRICS_PORT": str(_free_port()),
            "HEALTH_PROBE_PORT": str(_free_port()),
            "SYSTEM_NAMESPACE": "kube-system",
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
        }
        process = Process([str(binary)], env=environment, name="karpenter", log_dir=self.folder)
        return process.start()

    def _host(self) -> None:
        """A machine for each Node that the provider made, as long as the Node is there."""
        fleet, running = self.cluster.actors.fleet, set[str]()
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                nodes = {name_of(node): node for node in self.client.list(NODES).items if _is_theirs(node)}
            except ApiError:
                continue
            for name in nodes.keys() - running:
                fleet.boot(_machine(nodes[name]))
                running.add(name)
            for name in running - nodes.keys():
                fleet.shut_down(_machine({"metadata": {"name": name}}))
                running.discard(name)


def _is_theirs(node: Object) -> bool:
    return str((node.get("spec") or {}).get("providerID", "")).startswith(PROVIDER)


def _machine(node: Object) -> VirtualMachine:
    labels = node["metadata"].get("labels") or {}
    size = labels.get("node.kubernetes.io/instance-type", GPU_SIZE)
    name = name_of(node)
    return VirtualMachine(pool="", node_name=name, provider_id=PROVIDER + name, vm_size=size, labels={})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
