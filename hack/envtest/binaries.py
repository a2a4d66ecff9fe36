"""Finds or builds the binaries of a real control plane.

In order: the folder that `KUBEBUILDER_ASSETS` names (etcd, kube-apiserver and, if there, the other two), as controller-runtime's own test
environment does; else binaries built from the pinned Go modules beside this file, kept in a cache outside the checkout so that they are
built once per machine. Go is needed for that build alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

CONTROL_PLANE = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}
KUBERNETES_NODE = {
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
}
CONTAINERD = {
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
}
CLIENT_TOOLS = {
    "helm": "helm.sh/helm/v3/cmd/helm",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
}


class BuildFailed(RuntimeError):
    """A binary could not be built; the message holds what the compiler said."""


@dataclass(frozen=True)
class Toolset:
    """One Go module of this folder and the binaries it pins."""

    module: Path
    packages: dict[str, str]
    version: str

    @property
    def folder(self) -> Path:
        """Where the built binaries are kept."""
        return cache_folder() / self.module.name / self.version

    def missing(self) -> list[str]:
        """Binaries that still have to be built."""
        return [name for name in self.packages if not os.access(self.folder / name, os.X_OK)]


def cache_folder() -> Path:
    """`ENVTEST_CACHE`, else a folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("ENVTEST_CACHE") or Path(base) / "kaito-envtest")


def minors() -> list[str]:
    """The Kubernetes minors that have a pinned module here, newest first: `["1.37", "1.34"]`."""
    found = [path.name.removeprefix("kubernetes-") for path in HERE.glob("kubernetes-*")]
    return sorted(found, key=lambda minor: int(minor.split(".")[1]), reverse=True)


def chosen_minor() -> str:
    """The minor that a test should start: `ENVTEST_MINOR` (the suite runner sets it), else the newest."""
    return os.environ.get("ENVTEST_MINOR") or minors()[0]


def control_plane(minor: str) -> Toolset:
    """The binaries of one Kubernetes minor."""
    module = HERE / f"kubernetes-{minor}"
    return Toolset(module, CONTROL_PLANE, _required_version(module, "k8s.io/kubernetes"))


def client_tools() -> Toolset:
    """Helm and crane."""
    module = HERE / "helm"
    return Toolset(module, CLIENT_TOOLS, _required_version(module, "helm.sh/helm/v3"))


def coredns() -> Toolset:
    """The cluster's DNS."""
    module = HERE / "nodes" / "coredns"
    return Toolset(module, {"coredns": "."}, _required_version(module, "github.com/coredns/coredns"))


def karpenter() -> Toolset:
    """Karpenter's core with its kwok provider, whose cloud is the API server."""
    module = HERE / "karpenter"
    return Toolset(module, {"kwok": "sigs.k8s.io/karpenter/kwok"}, _required_version(module, "sigs.k8s.io/karpenter"))


def node_tools(minor: str) -> list[Toolset]:
    """What a real node and the servers of a cluster need: kubelet and kube-proxy, containerd, CoreDNS, a registry."""
    kubernetes, nodes = HERE / f"kubernetes-{minor}", HERE / "nodes"
    containerd = "github.com/containerd/containerd/v2"
    registry = "github.com/distribution/distribution/v3"
    return [
        Toolset(nodes / "containerd", CONTAINERD, _required_version(nodes / "containerd", containerd)),
        coredns(),
        Toolset(nodes / "registry", {"registry": "."}, _required_version(nodes / "registry", registry)),
        Toolset(kubernetes, KUBERNETES_NODE, _required_version(kubernetes, "k8s.io/kubernetes")),
    ]


def ensure(tools: Toolset, *names: str) -> Path:
    """The folder with the binaries, all or those named built first where they are missing; raises BuildFailed.

    Processes that want the same binaries at the same time wait for the one that builds them.
    """
    tools.folder.mkdir(parents=True, exist_ok=True)
    wanted = set(names or tools.packages)
    if wanted.isdisjoint(tools.missing()):
        return tools.folder
    with _locked(tools.folder):
        for name in tools.missing():
            if name in wanted:
                _build(tools, name)
    return tools.folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_control_plane(minor: str) -> Path:
    """A folder with etcd, kube-apiserver, kube-controller-manager and kube-scheduler."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(assets) if assets else ensure(control_plane(minor))


def _required_version(module: Path, package: str) -> str:
    match = re.search(rf"{re.escape(package)} v(\S+)", (module / "go.mod").read_text())
    if not match:
        raise BuildFailed(f"{module / 'go.mod'} does not require {package}; run hack/envtest/make_module.py again")
    return match[1]


def _build(tools: Toolset, name: str) -> None:
    if not shutil.which("go"):
        raise BuildFailed(
            f"{name} {tools.version} has to be built and there is no `go` on the PATH: install Go, or name a folder with "
            "downloaded binaries in KUBEBUILDER_ASSETS"
        )
    print(f"building {name} {tools.version} (once per machine) ...", flush=True)
    partial = tools.folder / f"{name}.partial"
    command = [
        "go",
        "build",
        "-trimpath",
        "-ldflags",
        _linker_flags(tools.version),
        "-o",
        str(partial),
        tools.packages[name],
    ]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    reply = subprocess.run(command, cwd=tools.module, env=environment, capture_output=True, text=True, check=False)
    if reply.returncode != 0:
        raise BuildFailed(f"building {name} {tools.version} failed:\n{reply.stderr[-4000:]}")
    partial.rename(tools.folder / name)


def _linker_flags(version: str) -> str:
    """The published module carries no version stamp; without one, clients see `v0.0.0-master`."""
    stamp = "k8s.io/component-base/version"
    major, minor, _ = version.split(".")
    return f"-s -w -X {stamp}.gitVersion=v{version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
