"""The cluster's network: one hub with a bridge, a cable from it to each node, a range of pod addresses routed to each node.

Everything is inside sandboxes; this machine's own network is not touched and nothing leads out of the hub. Nodes and pods see the hub as
their router. On a node, pods hang on the CNI plugin `ptp` (a cable each) instead of `bridge`, because traffic between two pods of one node
then passes the node's routing, where kube-proxy's rules are; on a bridge that takes the kernel module br_netfilter.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from hack.envtest.nodes.sandbox import Sandbox, SandboxError

HUB_ADDRESS = "10.214.0.1"
NODE_NETWORK_BITS = 16
POD_NETWORK = "10.244.0.0/16"
DNS_ADDRESS = "10.96.0.10"
MAX_NODES = 200
CLOUD_PORT = 8443
"""Of the AKS stand-in: on the hub, and on every pod's loopback."""
CLOUD_PLUGIN = "cloud"
BRIDGE = "nodes"


@dataclass(frozen=True, slots=True)
class Place:
    """A node's place in the network; `index` from 1 to MAX_NODES."""

    index: int

    @property
    def address(self) -> str:
        """Of the node."""
        return f"10.214.1.{self.index}"

    @property
    def pods(self) -> str:
        """The range of its pods."""
        return f"10.244.{self.index}.0/24"


def make_hub(hub: Sandbox) -> None:
    """The bridge that nodes are plugged into, with the hub's own address."""
    hub.run("ip", "link", "add", BRIDGE, "type", "bridge")
    hub.run("ip", "addr", "add", f"{HUB_ADDRESS}/{NODE_NETWORK_BITS}", "dev", BRIDGE)
    hub.run("ip", "link", "set", BRIDGE, "up")
    _forward_packets(hub)


def cable(place: Place) -> str:
    """The name of a node's interface on the hub."""
    return f"node{place.index}"


def plug_in(hub: Sandbox, node: Sandbox, place: Place) -> None:
    """A cable from the hub to the node, and the route to its pods."""
    name = cable(place)
    # The process id of the node's sandbox is known outside only, so this command enters the hub's network and nothing else of it.
    _outside(
        "nsenter",
        f"--net={hub.network}",
        *f"ip link add {name} type veth peer name eth0 netns {node.pid}".split(),
    )
    hub.run("ip", "link", "set", name, "master", BRIDGE, "up")
    node.run("ip", "addr", "add", f"{place.address}/{NODE_NETWORK_BITS}", "dev", "eth0")
    node.run("ip", "link", "set", "eth0", "up")
    node.run("ip", "route", "add", "default", "via", HUB_ADDRESS)
    hub.run("ip", "route", "replace", place.pods, "via", place.address)
    _forward_packets(node)


def cni_config(place: Place) -> str:
    """The node's CNI configuration list, JSON."""
    ranges = [[{"subnet": place.pods}]]
    ipam = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    plugins: list[dict[str, Any]] = [
        {"type": "ptp", "ipam": ipam, "mtu": 1500},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": CLOUD_PLUGIN, "port": CLOUD_PORT, "to": f"{HUB_ADDRESS}:{CLOUD_PORT}"},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}, indent=1)


def _forward_packets(sandbox: Sandbox) -> None:
    sandbox.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")


def _outside(*command: str) -> None:
    reply = subprocess.run(command, capture_output=True, text=True, check=False)
    if reply.returncode:
        raise SandboxError(f"`{' '.join(command)}` failed: {reply.stderr.strip()}")
