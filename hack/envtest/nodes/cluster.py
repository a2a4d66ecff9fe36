"""A whole cluster with real nodes on this machine: the real control plane, real kubelets for every agent pool of the AKS stand-in.

The attributes are those of `LocalCluster` and `FurnishedCluster` where they make sense. Everything is gone when the process ends, or at
the next start at the latest (`leftovers.py`).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from controller_runtime.client.kubernetes_client import Client
from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane
from hack.envtest.nodes import addons, leftovers, network, registry, requirements, stock
from hack.envtest.nodes.forward import Forward
from hack.envtest.nodes.images import Images
from hack.envtest.nodes.network import CLOUD_PORT, HUB_ADDRESS
from hack.envtest.nodes.node import Surroundings
from hack.envtest.nodes.sandbox import Sandbox, Task
from hack.envtest.nodes.vms import VirtualMachines
from hack.localcluster.cloud import AksCloud, CloudIdentity
from hack.localcluster.cloud.cloud import SYSTEM_POOL
from hack.localcluster.faults import FaultPlan
from hack.localcluster.timeline import Timeline
from hack.render.kustomize import to_yaml
from test.support.kubectl import Kubectl

START_TIMEOUT_S = 180.0
NODE_GRACE_S = 25.0
"""Half of Kubernetes' default: five of a kubelet's reports, so that a busy machine does not look like a silent kubelet."""


class ClusterFailed(RuntimeError):
    """The cluster did not come up; the message says what was waited for."""


class HubHost:
    """Runs the control plane on the hub."""

    address = HUB_ADDRESS

    def __init__(self, hub: Sandbox) -> None:
        self._hub = hub

    def start(self, command: list[str], log: Path) -> Task:
        """As `Host` asks."""
        return self._hub.start(command, log)


class NodeCluster:
    """A context manager. `nodes` in the system pool; `time_scale` is the AKS stand-in's, kubelets know no other time than the real one."""

    def __init__(self, *, nodes: int = 1, time_scale: float = 60.0, gpu_delay_s: float = 2.0, minor: str = "") -> None:
        self.faults = FaultPlan()
        self._nodes, self._time_scale, self._gpu_delay_s = nodes, time_scale, gpu_delay_s
        self._minor = minor or binaries.minors()[0]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        requirements.check(self._minor)
        tools = (binaries.ensure_control_plane(self._minor), *map(binaries.ensure, binaries.node_tools(self._minor)))
        crane = binaries.ensure(binaries.client_tools(), "crane") / "crane"
        try:
            self._start(tools, crane)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, tools: tuple[Path, ...], crane: Path) -> None:
        leftovers.sweep()
        self.images = Images()
        self.folder = leftovers.new_folder()
        self._stack.callback(leftovers.remove, self.folder)
        self.hub = self._stack.enter_context(Sandbox("hub"))
        network.make_hub(self.hub)
        self._start_plane(tools[0])
        self.around = Surroundings(self.plane, self.hub, tools, mirrors=registry.MIRRORS)
        self.open, self.guarded = (
            registry.start(self.hub, self.around.tool("registry"), crane, self.folder, guarded=guarded)
            for guarded in (False, True)
        )
        stock.fill(self.open, self.images, coredns=Path(self.around.tool("coredns")), crane=crane)
        self._start_cloud()
        self.kubectl = Kubectl(self.kubeconfig, self.folder / "kubectl")
        self.apply([*registry.services(), *addons.dns()])
        self._wait_ready()

    def _start_plane(self, folder: Path) -> None:
        self.plane = ControlPlane(folder, host=HubHost(self.hub), folder=self.folder, node_grace_s=NODE_GRACE_S)
        here = ("127.0.0.1", self.plane.port)
        self._stack.enter_context(Forward(here, here, connect_in=self.hub.network))
        self._stack.enter_context(self.plane)

    def _start_cloud(self) -> None:
        self.identity = CloudIdentity(kubernetes_version=binaries.control_plane(self._minor).version)
        self.timeline = Timeline(self._time_scale)
        self.timeline.start()
        self._stack.callback(self.timeline.stop)
        self.vms = VirtualMachines(
            self.around, self.client(user_agent="aks"), self.identity, gpu_delay_s=self._gpu_delay_s
        )
        self._stack.callback(self.vms.stop)
        self.cloud = AksCloud(self.faults, identity=self.identity, timeline=self.timeline, host=self.vms)
        self.cloud.start()
        self._stack.callback(self.cloud.stop)
        address = ("127.0.0.1", urlsplit(self.cloud.url).port or 0)
        self._stack.enter_context(Forward((HUB_ADDRESS, CLOUD_PORT), address, listen_in=self.hub.network))
        self.cloud.pools.add_canary(SYSTEM_POOL, mode="System", count=self._nodes)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.plane.kubeconfig

    @property
    def cloud_environment(self) -> dict[str, str]:
        """What the provisioner's pods need to find the cloud."""
        return {**self.cloud.environment, "ARM_ENDPOINT": f"http://127.0.0.1:{CLOUD_PORT}"}

    def client(self, *, user_agent: str = "envtest") -> Client:
        """A client, as administrator."""
        return Client.from_kubeconfig(str(self.kubeconfig), user_agent=user_agent)

    def apply(self, documents: list[dict[str, Any]]) -> None:
        """`kubectl apply`."""
        self.kubectl("apply", "-f", "-", stdin=to_yaml(documents))

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if failures := self.vms.failures():
                raise ClusterFailed("; ".join(f"{name}: {why}" for name, why in failures.items()))
            said = self.kubectl.run(
                "-n", "kube-system", "wait", "--for=condition=Available", "--timeout=5s", "deployment/coredns"
            )
            if said.returncode == 0:
                self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "node", "--all")
                return
        raise ClusterFailed(f"the cluster's DNS was not available within {START_TIMEOUT_S:g} s: {said.stderr.strip()}")
