"""containerd's configuration on a node.

containerd 2, because the kubelet of 1.37 asks the runtime for its cgroup driver over the CRI and refuses runtimes that do not know.
Debian's runc and CNI plugins serve it. All registries lead to the cluster's own: nothing else can be reached, and names stay as published.
"""

from __future__ import annotations

import json
from pathlib import Path

SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
CONFIG_FOLDER = "/run/config"
"""In the node, made at its start."""
REGISTRIES = f"{CONFIG_FOLDER}/registries"


def config() -> str:
    """config.toml."""
    # Without CAP_SYS_RESOURCE the kernel refuses a lower oom_score_adj, and runc then fails; hence `restrict_oom_score_adj`.
    return f"""version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
address = "{SOCKET}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni", "{CONFIG_FOLDER}/cni-bin"]
conf_dir = "{CONFIG_FOLDER}/cni"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.images".registry]
config_path = "{REGISTRIES}"
"""


def mirror(url: str) -> str:
    """A hosts.toml that leads a registry's name to `url`."""
    return f'server = {json.dumps(url)}\n\n[host.{json.dumps(url)}]\ncapabilities = ["pull", "resolve"]\n'


def write_config(folder: Path, mirrors: dict[str, str]) -> None:
    """`mirrors`: registry's host and port → URL; `_default` stands for all others."""
    (folder / "containerd.toml").write_text(config())
    for registry, url in mirrors.items():
        target = folder / "registries" / registry
        target.mkdir(parents=True, exist_ok=True)
        (target / "hosts.toml").write_text(mirror(url))
