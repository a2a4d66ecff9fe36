"""`kubectl kaito gc`: what the garbage collections would remove, and why; nothing is removed by it.

It sees the objects of the cluster. Agent pools whose Machine is gone are seen by the provisioner alone, which alone may list them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from controller_runtime.resources import (
    DEPLOYMENTS,
    JOBS,
    NODES,
    STATEFUL_SETS,
    Object,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from controller_runtime.untrusted import entries, mapping
from kaito_controller.api.labels import WORKSPACE, WORKSPACE_NAMESPACE, WORKSPACES
from kaito_controller.cli.cluster import Cluster, connect, of_cluster
from kaito_controller.cli.nodeobjects import KINDS, read_node_object
from kaito_controller.cli.output import Output, output_option, to_text

_ORDERS = frozenset(kind.kind for kind in KINDS)
BLIND = "Agent pools that no Machine or NodeClaim owns are seen by gpu-provisioner alone: its log and its metrics name them."


@dataclass(frozen=True, slots=True)
class Leftover:
    """One object, who removes it, and why."""

    kind: str
    name: str
    by: str
    why: str


@click.command(short_help="What the garbage collection would remove.")
@of_cluster
@output_option
def command(namespace: str, kube_context: str, kubeconfig: str, output: Output) -> tuple[int, str]:
    """What the garbage collection would remove, with reasons. Removes nothing.

    Exit codes: 0 nothing is left over, 1 something is, 2 it cannot be read.
    """
    cluster = connect(namespace, kube_context, kubeconfig)
    cluster.reach()
    found = leftovers(cluster)
    code = 1 if found else 0
    if output != "table":
        shown = [{"kind": x.kind, "name": x.name, "removedBy": x.by, "why": x.why} for x in found]
        return code, to_text({"leftovers": shown, "notSeen": [BLIND, *cluster.gaps]}, output)
    from kaito_controller.cli.top_page import gc_page

    return code, gc_page(found, [BLIND, *(f"{gap}." for gap in cluster.gaps)])


def leftovers(cluster: Cluster) -> list[Leftover]:
    """Of the whole cluster, as far as it may be read; what cannot be compared with what owns it is no leftover."""
    workspaces = {(namespace_of(w), name_of(w)) for w in cluster.all(WORKSPACES)}
    if cluster.unread:
        return []
    orders = [obj for kind in KINDS for obj in cluster.all(kind)]
    found = [*_orders(orders, workspaces)]
    if not cluster.unread:
        found += _nodes(cluster.all(NODES), {uid_of(order) for order in orders})
    for kind in (DEPLOYMENTS, STATEFUL_SETS, JOBS):
        found += _workloads(cluster.all(kind, labels=WORKSPACE), workspaces)
    return found


def _orders(orders: list[Object], workspaces: set[tuple[str, str]]) -> Iterator[Leftover]:
    for obj in orders:
        labels = labels_of(obj)
        owner = (labels.get(WORKSPACE_NAMESPACE, ""), labels.get(WORKSPACE, ""))
        order = read_node_object(obj)
        if all(owner) and owner not in workspaces and order.deleting_since is None:
            why = f"its Workspace {'/'.join(owner)} does not exist"
            yield Leftover(order.kind, order.name, "nobody: delete it yourself", why)
        elif order.is_launched and not order.is_ready and order.deleting_since is None and order.in_trouble:
            why = f"launched and not usable ({order.blocking.reason}); given up once its agent pool is proven gone"
            yield Leftover(order.kind, order.name, "gpu-provisioner", why)


def _nodes(nodes: list[Object], orders: set[str]) -> Iterator[Leftover]:
    for node in nodes:
        owners = entries(mapping(node.get("metadata")).get("ownerReferences"), 16)
        owner = next((o for o in owners if o.get("kind") in _ORDERS), None)
        if owner is not None and owner.get("uid") not in orders:
            why = f"its {owner.get('kind')} {owner.get('name')} does not exist; released once its agent pool is proven gone"
            yield Leftover("Node", name_of(node), "gpu-provisioner", why)


def _workloads(workloads: list[Object], workspaces: set[tuple[str, str]]) -> Iterator[Leftover]:
    for obj in workloads:
        owner = (namespace_of(obj), labels_of(obj).get(WORKSPACE, ""))
        if owner not in workspaces:
            why = f"its Workspace {'/'.join(owner)} does not exist"
            owned = any(
                o.get("kind") == WORKSPACES.kind
                for o in entries(mapping(obj.get("metadata")).get("ownerReferences"), 16)
            )
            by = "Kubernetes" if owned else "nobody: it has no owner"
            yield Leftover(str(obj.get("kind")), f"{namespace_of(obj)}/{name_of(obj)}", by, why)
