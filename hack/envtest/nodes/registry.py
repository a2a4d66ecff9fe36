"""The cluster's registries: two real ones on the hub, one open and one behind a password, reached by every node and pod.

The open one stands in for all public registries (nodes' containerd asks it whatever the name). Both are also Services with fixed addresses,
and pods use those: registry clients speak plain HTTP to private addresses, and to hardly any name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from hack.envtest.nodes.network import HUB_ADDRESS
from hack.envtest.nodes.sandbox import Sandbox, SandboxError
from hack.waiting import until

OPEN_PORT, GUARDED_PORT = 5000, 5001
NAMESPACE = "registries"
CLUSTER_IPS = {"open": "10.96.0.50", "guarded": "10.96.0.51"}
OPEN, GUARDED = f"{CLUSTER_IPS['open']}:{OPEN_PORT}", f"{CLUSTER_IPS['guarded']}:{GUARDED_PORT}"
"""As pods and people name them."""
MIRRORS = {"_default": f"http://{HUB_ADDRESS}:{OPEN_PORT}", GUARDED: f"http://{GUARDED}"}
"""For containerd. The guarded one by its own name, because credentials are sent to the host that they were given for only."""
USER, PASSWORD = "pusher", "let-me-in"
HTPASSWD = "pusher:$2b$04$c4X0GdOpDgL3UnGbno77pO7VelIBULiqO/VH7g/8y4hlmx/C60v52\n"
"""The two as Apache's htpasswd writes them (bcrypt)."""
START_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry."""

    name: str
    port: int
    hub: Sandbox
    crane: Path
    guarded: bool = False

    @property
    def address(self) -> str:
        """As the hub and nodes reach it."""
        return f"{HUB_ADDRESS}:{self.port}"

    def push(self, layout: Path, image: str) -> None:
        """An OCI layout as `image`, a name without registry."""
        self.call("push", str(layout), f"{self.address}/{image}")

    def call(self, *arguments: str) -> str:
        """crane, from the hub."""
        return self.hub.run(str(self.crane), *arguments, "--insecure")

    def answers(self) -> bool:
        """Whether it speaks HTTP by now."""
        try:
            self.hub.run(*_probe(self.port))
        except SandboxError:
            return False
        return True

    def tags(self, repository: str) -> list[str]:
        """Of one repository; empty when there is none."""
        try:
            return self.call("ls", f"{self.address}/{repository}").split()
        except SandboxError:
            return []


def start(hub: Sandbox, program: str, crane: Path, folder: Path, *, guarded: bool) -> Registry:
    """Start one; returns when it answers."""
    registry = (
        Registry("guarded", GUARDED_PORT, hub, crane, guarded=True)
        if guarded
        else Registry("open", OPEN_PORT, hub, crane)
    )
    home = folder / f"registry-{registry.name}"
    home.mkdir()
    (home / "htpasswd").write_text(HTPASSWD)
    (home / "config.yaml").write_text(yaml.safe_dump(_config(home, registry.port, guarded=guarded)))
    task = hub.start([program, "serve", str(home / "config.yaml")], home / "log")
    until(
        registry.answers,
        START_TIMEOUT_S,
        late=lambda _: SandboxError(
            f"the {registry.name} registry did not start:\n{(home / 'log').read_text()[-2000:]}"
        ),
        over=lambda: task.poll() is not None,
    )
    return registry


def services() -> list[dict[str, Any]]:
    """The Services by which pods find them; their endpoints are the hub's."""
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}]
    for name, port in (("open", OPEN_PORT), ("guarded", GUARDED_PORT)):
        metadata = {"name": name, "namespace": NAMESPACE}
        spec = {"clusterIP": CLUSTER_IPS[name], "ports": [{"port": port}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        endpoints = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"port": port, "name": "", "protocol": "TCP"}],
            "endpoints": [{"addresses": [HUB_ADDRESS]}],
        }
        objects += [service, endpoints]
    return objects


def _config(home: Path, port: int, *, guarded: bool) -> dict[str, Any]:
    """Distribution's configuration."""
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(home / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"{HUB_ADDRESS}:{port}", "secret": "of one cluster only"},
    }
    if guarded:
        config["auth"] = {"htpasswd": {"realm": "guarded", "path": str(home / "htpasswd")}}
    return config


def _probe(port: int) -> list[str]:
    return ["bash", "-c", f": < /dev/tcp/{HUB_ADDRESS}/{port}"]
