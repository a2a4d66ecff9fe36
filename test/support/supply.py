"""What a test does to whoever makes nodes, and asks of it: one port for our provisioner on the AKS stand-in and for Karpenter.

Only what both can show stands here. What needs the quota, the stock or the scripts of the AKS stand-in itself goes to
`rig.cluster.cloud`, and such a test carries the marker `our_provisioner`.
"""

from __future__ import annotations

from typing import Protocol

from hack.localcluster.cloud.market import Market, Stock
from hack.localcluster.cloud.pools import AgentPools

GPU_SIZE = "Standard_NC6s_v3"
GPU_FAMILY = "standardNCSv3Family"
Terms = tuple[object, ...]
"""On which a node is billed, in the provider's own words."""
NOTICE_S = 3600.0
"""Of the cluster's time: longer than it takes to replace a node."""


class Supply(Protocol):
    """Of nodes of the size `GPU_SIZE`."""

    spot: Terms
    on_demand: Terms

    def refuse(self) -> tuple[str, ...]:
        """No launch succeeds from now on, and orders stay; words that a condition quotes then."""

    def end(self) -> tuple[str, ...]:
        """No launch succeeds from now on, nor can: every order comes to its end; words that a condition quotes then."""

    def restore(self) -> None:
        """As before `refuse` and `end`; nothing where neither was called."""

    def billed(self) -> dict[str, Terms]:
        """By the name of its order, each node that is paid for."""

    def loss_of(self, node: str) -> str:
        """What is said of an order whose Node somebody deleted."""

    def evict(self, order: str) -> str:
        """Take the spot node of an order back, with whatever notice the provider gives; how the Event about it goes on after the node."""


class AksSupply:
    """Agent pools of the stand-in, by their quota and stock."""

    spot: Terms = ("Spot", "Delete", -1.0)
    on_demand: Terms = ("Regular", None, None)

    def __init__(self, pools: AgentPools) -> None:
        self._pools = pools

    def refuse(self) -> tuple[str, ...]:
        """For want of quota."""
        self._pools.set_quota(families={GPU_FAMILY: 0})
        return ("QuotaExceeded", GPU_FAMILY)

    def end(self) -> tuple[str, ...]:
        """The size is not sold to this subscription."""
        self._pools.set_stock(GPU_SIZE, Stock.NOT_ALLOWED)
        return (GPU_SIZE,)

    def restore(self) -> None:
        """The market without limits."""
        self._pools.set_market(Market())

    def billed(self) -> dict[str, Terms]:
        """Pools of orders, whose names begin with `ws`, without the canaries."""
        found = {pool["name"]: pool["properties"] for pool in self._pools.list() if pool["name"].startswith("ws")}
        return {name: _terms(properties) for name, properties in found.items()}

    def loss_of(self, node: str) -> str:
        """Our provisioner names the Node."""
        return f"Node {node} was deleted"

    def evict(self, order: str) -> str:
        """The kubelet announces it."""
        assert self._pools.evict(order, notice_s=NOTICE_S), f"{order} is no spot pool"
        return "is taken back by its cloud: its condition VMEventScheduled announces"


def _terms(properties: dict[str, object]) -> Terms:
    priority = properties.get("scaleSetPriority", "Regular")
    return (priority, properties.get("scaleSetEvictionPolicy"), properties.get("spotMaxPrice"))
