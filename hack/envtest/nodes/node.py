"""A real node: a sandbox with containerd, kubelet and kube-proxy, on a file system of its own that can be filled up.

It looks like a machine of its own: default folders, its own address and host name. What AKS's controllers do to its Node object is in
`vms.py`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hack.envtest.control_plane import ControlPlane
from hack.envtest.nodes import cgroups, network
from hack.envtest.nodes.containerd import CONFIG_FOLDER, SOCKET, write_config
from hack.envtest.nodes.kubelet import kubelet_config, kubelet_labels, proxy_config
from hack.envtest.nodes.network import HUB_ADDRESS, Place
from hack.envtest.nodes.sandbox import PATH, Sandbox, SandboxError, Task
from hack.localcluster.cloud.model import VirtualMachine
from hack.waiting import until

START_TIMEOUT_S = 60.0
CLOUD_PLUGIN_FILE = Path(__file__).with_name("cni_cloud.py")
DISK_SIZE = "4g"
"""Of the node's file system, in memory: its images, its containers, its logs."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all nodes of a cluster share. `tools`: folders with the binaries; `mirrors` as for containerd."""

    plane: ControlPlane
    hub: Sandbox
    tools: tuple[Path, ...]
    mirrors: dict[str, str]
    status_period_s: float = 5.0

    @property
    def api_server(self) -> str:
        """As nodes and pods reach it."""
        return f"https://{HUB_ADDRESS}:{self.plane.port}"

    def tool(self, name: str) -> str:
        """The path of a binary."""
        return next(str(folder / name) for folder in self.tools if (folder / name).exists())


class Node:
    """`with Node(…) as node:`; its Node object appears when the kubelet registers."""

    def __init__(self, vm: VirtualMachine, labels: dict[str, str], place: Place, around: Surroundings) -> None:
        self.vm, self.place = vm, place
        self.name = vm.node_name
        self.sandbox = Sandbox(vm.node_name)
        self.folder = around.plane.folder / "nodes" / vm.node_name
        self.cgroup = f"{around.plane.folder.name}/{vm.node_name}"
        self._labels = labels
        self._around = around
        self._tasks: dict[str, Task] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        cgroups.make(self.cgroup)
        self.sandbox.__enter__()
        self._mount_disks()
        network.plug_in(self._around.hub, self.sandbox, self.place)
        self._start_task("containerd", "--config", f"{CONFIG_FOLDER}/containerd.toml")
        self._wait_for_containerd()
        self.start_kubelet()
        self._start_task("kube-proxy", "--config", f"{CONFIG_FOLDER}/kube-proxy.json")

    def stop(self) -> None:
        """Pull the plug; containers, mounts and interfaces go with the sandbox."""
        self.sandbox.stop()
        self._tasks.clear()
        cgroups.remove(self.cgroup)

    def start_kubelet(self) -> None:
        """(Again), as a boot would."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(kubelet_labels(self._labels).items()))
        self._start_task(
            "kubelet",
            f"--config={CONFIG_FOLDER}/kubelet.json",
            f"--kubeconfig={CONFIG_FOLDER}/kubelet.kubeconfig",
            f"--hostname-override={self.name}",
            f"--node-ip={self.place.address}",
            f"--node-labels={labels}",
            "--cloud-provider=external",
            "--v=1",
        )

    def stop_kubelet(self) -> None:
        """The kubelet ends; containers go on."""
        task = self._tasks.pop("kubelet")
        task.send_signal(signal.SIGKILL)
        task.wait(10)

    def containers(self) -> list[str]:
        """Ids of the containers that containerd knows."""
        return self.ctr("containers", "list", "--quiet").split()

    def ctr(self, *arguments: str) -> str:
        """containerd's own command line, in Kubernetes' namespace."""
        return self.sandbox.run(self._around.tool("ctr"), "--address", SOCKET, "--namespace", "k8s.io", *arguments)

    # -- parts ------------------------------------------------------------------------------------------------------------------

    def _write_files(self) -> None:
        plane, around = self._around.plane, self._around
        plane.write_certificate_kubeconfig(
            self.folder / "kubelet.kubeconfig",
            f"system:node:{self.name}",
            ["system:nodes"],
            server=around.api_server,
            folder=CONFIG_FOLDER,
        )
        plane.write_certificate_kubeconfig(
            self.folder / "proxy.kubeconfig",
            "system:kube-proxy",
            [],
            server=around.api_server,
            folder=CONFIG_FOLDER,
        )
        shutil.copy(plane.folder / "ca.crt", self.folder / "ca.crt")
        (self.folder / "resolv.conf").write_text("")
        config = kubelet_config(self.vm, self.cgroup, status_period_s=around.status_period_s)
        (self.folder / "kubelet.json").write_text(json.dumps(config, indent=1))
        (self.folder / "kube-proxy.json").write_text(json.dumps(proxy_config(self.name), indent=1))
        (self.folder / "cni").mkdir(exist_ok=True)
        (self.folder / "cni" / "10-pods.conflist").write_text(network.cni_config(self.place))
        (self.folder / "cni-bin").mkdir(exist_ok=True)
        shutil.copy(CLOUD_PLUGIN_FILE, self.folder / "cni-bin" / network.CLOUD_PLUGIN)
        (self.folder / "cni-bin" / network.CLOUD_PLUGIN).chmod(0o755)
        write_config(self.folder, around.mirrors)

    def _mount_disks(self) -> None:
        """The node's own /var/lib, /var/log and /run, which hide this machine's; the configuration is bound below /run."""
        mounts = f"""
            mount -t tmpfs -o size={DISK_SIZE},mode=755 node-disk /var/lib
            mkdir /var/lib/log && mount --bind /var/lib/log /var/log
            mkdir -p /var/lib/config && mount --bind {self.folder} /var/lib/config
            mount -t tmpfs -o size=64m,mode=755 node-run /run
            mkdir {CONFIG_FOLDER} && mount --move /var/lib/config {CONFIG_FOLDER}
            mount --make-rshared /
        """
        self.sandbox.run("sh", "-e", "-c", mounts)

    def _start_task(self, name: str, *flags: str) -> None:
        path = ":".join([*map(str, self._around.tools), PATH])
        self._tasks[name] = self.sandbox.start(
            [self._around.tool(name), *flags],
            self.folder / f"{name}.log",
            environment={"PATH": path, "HOME": "/var/lib"},
        )

    def _wait_for_containerd(self) -> None:
        log = self.folder / "containerd.log"
        until(
            self._containerd_answers,
            START_TIMEOUT_S,
            late=lambda _: SandboxError(f"containerd did not start on {self.name}:\n{tail(log)}"),
            over=lambda: self._tasks["containerd"].poll() is not None,
            step_s=0.2,
        )

    def _containerd_answers(self) -> bool:
        try:
            self.ctr("version")
        except (SandboxError, subprocess.TimeoutExpired):
            return False
        return True


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return os.linesep.join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"
