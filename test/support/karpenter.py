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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller_runtime.errors import ApiError
from controller_runtime.resources import NODES, Object, labels_of, name_of
from hack.envtest import binaries
from hack.localcluster.cloud.model import VirtualMachine
from test.support.kaito_rig import Rig
from test.support.processes import Process
from test.support.supply import GPU_SIZE, Supply, Terms

NODE_CLASS = "karpenter.kwok.sh/KWOKNodeClass/default"
PROVIDER = "kwok://"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
OF_TODAY = ("Standard_NV36ads_A10_v5", "Standard_NC40ads_H100_v5")
"""Types that their cloud does not retire."""
SIZES = {GPU_SIZE: "1", "Standard_NC12s_v3": "2", "Standard_NC80adis_H100_v5": "2", **dict.fromkeys(OF_TODAY, "1")}
LOOK_EVERY_S = 0.2


def instance_types(*, without: str = "") -> list[dict[str, Any]]:
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
        if name != without
    ]


def _offering(capacity: str, price: float) -> dict[str, Any]:
    requirements = {CAPACITY_TYPE: capacity, "topology.kubernetes.io/zone": "test-zone-a"}
    wanted = [{"key": key, "operator": "In", "values": [value]} for key, value in requirements.items()]
    return {"Price": price, "Available": True, "Requirements": wanted}


class KarpenterRig(Rig):
    """As `Rig`, with Karpenter in the place of our provisioner and its own CRDs."""

    def __init__(self, folder: Path, *, node_api: str = "nodeclaim", **settings: Any) -> None:
        super().__init__(folder, provisioner=False, node_api=node_api, node_class=NODE_CLASS, **settings)
        self._stop = threading.Event()

    def _make_supply(self) -> Supply:
        return KarpenterSupply(self)

    def _install(self) -> None:
        module = binaries.karpenter().module
        download = ["go", "mod", "download", "-json", "sigs.k8s.io/karpenter"]  # nothing, where it is there
        said = subprocess.run(download, cwd=module, capture_output=True, text=True, check=True).stdout
        source = json.loads(said)["Dir"]
        for file in sorted((Path(source) / "pkg/apis/crds").glob("*.yaml")):
            self.kubectl("create", "-f", str(file))
        self.kubectl("create", "-f", f"{source}/kwok/apis/crds/karpenter.kwok.sh_kwoknodeclasses.yaml")
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        self.add_node_class()
        self._with_crd = False  # it is there; the parent installs ours where it is not
        super()._install()
        self._with_crd = True
        self.provisioner = self.start_provisioner()
        self._stack.callback(lambda: self.provisioner.__exit__())
        host = threading.Thread(target=self._host, name="kwok-machines", daemon=True)
        host.start()
        self._stack.callback(host.join, 10)
        self._stack.callback(self._stop.set)

    def add_node_class(self) -> None:
        """The one that orders name; nothing where it is there."""
        group, kind, name = NODE_CLASS.split("/")
        self.kubectl.apply({"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": name}})

    def remove_node_class(self) -> None:
        """Every launch is answered as a lack of capacity then: Karpenter deletes the order."""
        group, kind, name = NODE_CLASS.split("/")
        self.kubectl("delete", f"{kind}.{group}".lower(), name)

    def start_provisioner(self, *, without: str = "") -> Process:
        """Another process of Karpenter, whose provider has all instance types or all but one."""
        types = self.folder / "instance-types.json"
        types.write_text(json.dumps(instance_types(without=without)))
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


class KarpenterSupply:
    """By what the kwok provider can be made to do: its list of instance types, which it reads when it starts, and its node class."""

    spot: Terms = ("spot",)
    on_demand: Terms = ("on-demand",)

    def __init__(self, rig: KarpenterRig) -> None:
        self._rig = rig
        self._undo: Callable[[], None] = lambda: None

    def refuse(self) -> tuple[str, ...]:
        """The provider started without the size."""
        self._start(without=GPU_SIZE)
        self._undo = self._start
        return ("LaunchFailed", "instance type not found")

    def end(self) -> tuple[str, ...]:
        """The node class is missing."""
        self._rig.remove_node_class()
        self._undo = self._rig.add_node_class
        return ("kubectl get events",)

    def restore(self) -> None:
        """The size, or the node class, is there again."""
        self._undo()
        self._undo = lambda: None

    def billed(self) -> dict[str, Terms]:
        """The Nodes of the provider: they are its instances."""
        nodes = [node for node in self._rig.client.list(NODES).items if _is_theirs(node)]
        return {_order_of(node): (labels_of(node)[CAPACITY_TYPE],) for node in nodes}

    def loss_of(self, node: str) -> str:
        """Karpenter deletes the NodeClaim and gives no cause."""
        return "NodeClaimDeleted"

    def evict(self, order: str) -> str:
        """As providers do that are told of an interruption: they delete the NodeClaim. What drains the node is Karpenter."""
        self._rig.client.delete(self._rig.orders, order)
        return "is taken back by its cloud"

    def _start(self, *, without: str = "") -> None:
        self._rig.provisioner.kill()
        self._rig.provisioner = self._rig.start_provisioner(without=without)


def _order_of(node: Object) -> str:
    """As the provider wrote it when it made the Node; the owner that Karpenter enters comes later."""
    owners = [owner["name"] for owner in node["metadata"].get("ownerReferences") or () if owner["kind"] == "NodeClaim"]
    return str(owners[0] if owners else labels_of(node)["kubernetes.io/hostname"])


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
