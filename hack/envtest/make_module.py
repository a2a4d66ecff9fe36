"""Writes the Go module that pins one Kubernetes minor (run by a maintainer when a pin moves; its output is committed).

Kubernetes' own go.mod replaces the staging modules with folders of its tree, which are not part of the published module; a module that
wants the real binaries has to point each of them at its published version instead.

    python -m hack.envtest.make_module 1.37.1 0.37.1
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TOOLS = (
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-proxy",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kubelet",
    "go.etcd.io/etcd/server/v3",
)


def published_go_mod(version: str) -> str:
    """The go.mod of the published `k8s.io/kubernetes` module."""
    command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"]
    reply = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE)
    return Path(json.loads(reply.stdout)["GoMod"]).read_text()


def module_text(version: str, staging_version: str) -> str:
    """A go.mod that builds the control plane of `version`."""
    upstream = published_go_mod(version)
    go = re.search(r"^go (\S+)$", upstream, re.MULTILINE)
    assert go, "the published go.mod names no Go version"
    replaced = re.findall(r"^\s*(\S+) => \./staging/", upstream, re.MULTILINE)
    godebug = re.findall(r"^godebug (\S+)$", upstream, re.MULTILINE)
    lines = [
        f"// The control plane of Kubernetes {version}. Written by make_module.py.",
        f"module envtest/{'.'.join(version.split('.')[:2])}",
        "",
        f"go {go[1]}",
        "",
        *(f"godebug {setting}" for setting in godebug),
        "",
        "tool (",
        *(f"\t{tool}" for tool in TOOLS),
        ")",
        "",
        f"require k8s.io/kubernetes v{version}",
        "",
        "replace (",
        *(f"\t{module} => {module} v{staging_version}" for module in replaced),
        ")",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    version, staging_version = sys.argv[1:]
    folder = HERE / ("kubernetes-" + ".".join(version.split(".")[:2]))
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text(module_text(version, staging_version))
    subprocess.run(["go", "mod", "tidy"], cwd=folder, check=True)


if __name__ == "__main__":
    main()
