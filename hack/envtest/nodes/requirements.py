"""What real nodes need of a machine, checked before anything is started; on Debian, missing packages are installed.

A missing thing is one sentence with its cure, and nothing is half started.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

from hack.envtest import binaries
from hack.envtest.nodes import cgroups

PACKAGES = {
    "buildah": "buildah",
    "busybox": "busybox-static",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "runc": "runc",
    "sysctl": "procps",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}
"""Program (looked for on the PATH) or file → Debian's package."""
MACHINES = ("x86_64",)
UNFIT = 3
"""Exit code when this machine cannot have real nodes."""


class Unfit(RuntimeError):
    """This machine cannot have real nodes; the message says why and what helps."""


def check(minor: str) -> None:
    """Raises Unfit; installs missing packages where it can."""
    if reason := unfitness(sys.platform, platform.machine(), os.geteuid()):
        raise Unfit(reason)
    if reason := unbuildable(minor):
        raise Unfit(reason)
    install(missing())
    if reason := confinement():
        raise Unfit(reason)


def unfitness(system: str, machine: str, user: int) -> str:
    """Why such a machine, or such a user on it, cannot have real nodes; "" when it can."""
    if system != "linux" or machine not in MACHINES:
        return f"real nodes need Linux on {' or '.join(MACHINES)}; this is {system} on {machine}"
    if user != 0:
        return "real nodes make namespaces, mounts and control groups: run as root (sudo -E make test-cluster)"
    return ""


def unbuildable(minor: str) -> str:
    """What has to be built here and cannot be; "" when all is there, or Go is."""
    plane = [] if os.environ.get("KUBEBUILDER_ASSETS") else [binaries.control_plane(minor)]
    names = [name for tools in [*plane, *binaries.node_tools(minor)] for name in tools.missing()]
    names += [name for name in binaries.client_tools().missing() if name == "crane"]
    if not names or shutil.which("go"):
        return ""
    return f"{', '.join(names)} have to be built once and there is no `go` on the PATH: install Go"


def confinement() -> str:
    """What root may not do here, as in an ordinary container; "" when it may make namespaces, mounts and control groups."""
    command = ["unshare", "--pid", "--net", "--mount", "--ipc", "--uts", "--fork", "--mount-proc", "true"]
    reply = subprocess.run(command, capture_output=True, text=True, check=False)
    cure = "a virtual machine or a privileged container is needed"
    if reply.returncode:
        return f"root may not make namespaces here ({reply.stderr.strip()}): {cure}"
    hierarchies = cgroups.hierarchies()
    if not hierarchies or not all(os.access(folder, os.W_OK) for folder in hierarchies):
        return f"no control groups can be made below {cgroups.ROOT}: {cure}"
    return ""


def missing() -> list[str]:
    """Packages whose programs are not there."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=path)})


def install(packages: list[str]) -> None:
    """With apt-get; Unfit when there is none, or when it fails."""
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise Unfit(f"these Debian packages, or what corresponds to them here, are missing: {', '.join(packages)}")
    print(f"installing {', '.join(packages)} (once per machine) ...", flush=True)
    options = ["-o", "DPkg::Lock::Timeout=300", "--yes", "--quiet", "--no-install-recommends"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "--quiet"], ["apt-get", "install", *options, *packages]):
        reply = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if reply.returncode:
            raise Unfit(f"`{' '.join(command)}` failed: {reply.stderr.strip()[-1000:]}")
