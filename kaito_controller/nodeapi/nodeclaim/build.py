"""A NodeClaim as it is ordered: by itself, without a NodePool. Pure.

Karpenter makes the node of any NodeClaim whose node class is its provider's, whoever wrote it. The label `karpenter.sh/nodepool=kaito`
names a pool that does not exist, as KAITO does, so that neither the scheduler nor consolidation counts the node as its own.
"""

from __future__ import annotations

from typing import Any

from controller_runtime.resources import Object
from gpu_provisioner.api import labels, node_claim
from kaito_controller.nodeapi.port import NodeOrder, NodeTerms
from kaito_controller.nodeapi.vocabulary import GPU_TAINT, PLATFORM, is_in

_INSTANCE_TYPE_KEY = {("karpenter.azure.com", "AKSNodeClass"): "karpenter.azure.com/sku-name"}
"""By node class: the requirement by which its provider names an instance type besides Kubernetes' own."""

_DISK_OF = {node_claim.KAITO_NODE_CLASS: labels.STORAGE}
"""By node class: the request that sizes the disk. All others know Kubernetes' own name only: what they are asked for must be allocatable
on the Node before it counts as initialized, and no Node shows `storage`."""
_ON_DEMAND = {labels.CAPACITY_TYPE: labels.CAPACITY_ON_DEMAND}
"""Unless the order says otherwise: a Karpenter that is not told takes the cheapest offering, which is a spot one (seen with its core at
1.7.0). gpu-provisioner, whose class KaitoNodeClass is, has a setting for it."""

EPHEMERAL_STORAGE = "ephemeral-storage"
LEAST_DISK_GI = 128
"""Asked for where the model says nothing: gpu-provisioner since 0.3.4 refuses an order without a size."""


def build_node_claim(order: NodeOrder) -> Object:
    """The object, complete: its spec cannot be changed afterwards."""
    terms = order.terms
    group, kind, name = terms.node_class.split("/")
    return {
        "apiVersion": node_claim.API_VERSION,
        "kind": node_claim.KIND,
        "metadata": {
            "name": order.name,
            "labels": {
                **order.labels,
                node_claim.NODE_POOL: node_claim.KAITO_POOL,
                labels.WORKSPACE: order.workspace,
                labels.WORKSPACE_NAMESPACE: order.namespace,
            },
            "annotations": {node_claim.DO_NOT_DISRUPT: "true", **order.annotations},
        },
        "spec": {
            "nodeClassRef": {"group": group, "kind": kind, "name": name},
            "requirements": _requirements(order, (group, kind)),
            "resources": {"requests": _requests(order, (group, kind))},
            "taints": [dict(GPU_TAINT)],
            "expireAfter": terms.expire_after,
            **_grace(terms),
        },
    }


def _requirements(order: NodeOrder, node_class: tuple[str, str]) -> list[dict[str, Any]]:
    capacity = {} if node_class == node_claim.KAITO_NODE_CLASS else _ON_DEMAND
    named = [key for key in (labels.INSTANCE_TYPE, _INSTANCE_TYPE_KEY.get(node_class)) if key]
    return [
        is_in(node_claim.NODE_POOL, node_claim.KAITO_POOL),
        *(is_in(key, order.instance_type) for key in named),
        *(is_in(key, value) for key, value in sorted({**PLATFORM, **capacity, **order.requirements}.items())),
    ]


def _requests(order: NodeOrder, node_class: tuple[str, str]) -> dict[str, str]:
    key = order.terms.disk_request
    if key == "auto":
        key = _DISK_OF.get(node_class, EPHEMERAL_STORAGE)
    if key == "none" or (key == EPHEMERAL_STORAGE and not order.disk_gb):
        return {}
    return {key: f"{order.disk_gb or LEAST_DISK_GI}Gi"}


def _grace(terms: NodeTerms) -> dict[str, str]:
    return {"terminationGracePeriod": terms.termination_grace_period} if terms.termination_grace_period else {}
