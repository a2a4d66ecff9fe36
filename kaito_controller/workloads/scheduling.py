"""Which nodes a pod may land on: exactly those that were chosen for its Workspace.

Labels alone are not enough. Two Workspaces may carry equal label selectors, and then each one's pods would fit the other's
nodes; so every pod is bound to node names. `matchFields` on `metadata.name` is used rather than the hostname label, because the
name cannot be edited and some clouds set the label to something else. The API allows one value per field requirement, hence one
term per node; terms are alternatives.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.workloads.metadata import selector_labels

TOLERATIONS: tuple[dict[str, str], ...] = (
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
)
"""Taints that GPU nodes carry: the device plugin's convention, and the one that our Machines ask for."""


def tolerations(existing: list[Object] | None = None) -> list[Object]:
    """The given tolerations followed by those of ours that are not among them."""
    merged = deepcopy(existing or [])
    return merged + [dict(ours) for ours in TOLERATIONS if ours not in merged]


def pinned_affinity(workspace_name: str, node_names: tuple[str, ...], existing: Object | None = None) -> Object:
    """Affinity that adds "on these nodes, one pod each" to whatever the user already demands.

    User terms are alternatives of each other, so ours is added to each of them; preferences are left alone.
    """
    if not node_names:
        raise ValueError("a workload is built only after nodes were chosen for it: node_names is empty")
    affinity = deepcopy(existing or {})
    node_affinity = affinity["nodeAffinity"] = affinity.get("nodeAffinity") or {}  # null counts as absent
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    user_terms: list[Object] = required.get("nodeSelectorTerms") or [{}]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
        "nodeSelectorTerms": [_on_node(term, name) for term in user_terms for name in sorted(node_names)]
    }
    if len(node_names) > 1:
        anti = affinity["podAntiAffinity"] = affinity.get("podAntiAffinity") or {}
        demands = anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        anti["requiredDuringSchedulingIgnoredDuringExecution"] = [*demands, _one_per_node(workspace_name)]
    return affinity


def pinned_nodes(workload: Object) -> tuple[str, ...]:
    """The node names that a workload built here is bound to, sorted; () for an object of someone else's."""
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or []
    fields = [field for term in terms for field in term.get("matchFields") or []]
    return tuple(sorted({name for field in fields if field.get("key") == "metadata.name" for name in field["values"]}))


def _on_node(term: Object, node_name: str) -> Object:
    pinned = deepcopy(term)
    field: dict[str, Any] = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    pinned["matchFields"] = [*(pinned.get("matchFields") or []), field]
    return pinned


def _one_per_node(workspace_name: str) -> Object:
    return {
        "labelSelector": {"matchLabels": selector_labels(workspace_name)},
        "topologyKey": "kubernetes.io/hostname",
    }
