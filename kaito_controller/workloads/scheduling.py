"""Which nodes a pod may land on: exactly those that were chosen for its Workspace.

The labels of users are not enough. Two Workspaces may carry equal label selectors, and then each one's pods would fit the other's
nodes; so a pod is bound to node names. `matchFields` on `metadata.name` is used rather than the hostname label, because the
name cannot be edited and some clouds set the label to something else. The API allows one value per field requirement, hence one
term per node; terms are alternatives.

Names have a price: another node is another pod template, and every replica restarts for it. Replicas that serve each on its own are
therefore bound to all nodes that Machines of their Workspace became, by the labels that such a node has from its Machine, and by name
only to nodes that nobody ordered. Then a Workspace is scaled, and a lost node replaced, without touching what serves.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.api import labels
from kaito_controller.workloads.metadata import selector_labels

TOLERATIONS: tuple[dict[str, str], ...] = (
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
)
"""Taints that GPU nodes carry: the device plugin's convention, the one that our orders ask for, and AKS' own on each spot node."""


def tolerations(existing: list[Object] | None = None) -> list[Object]:
    """The given tolerations followed by those of ours that are not among them."""
    merged = deepcopy(existing or [])
    return merged + [dict(ours) for ours in TOLERATIONS if ours not in merged]


def pinned_affinity(
    workspace_name: str, node_names: tuple[str, ...], existing: Object | None = None, *, ordered_in: str = ""
) -> Object:
    """Affinity that adds "on these nodes, one pod each" to whatever the user already demands.

    `ordered_in`: the namespace of the Workspace, to add all nodes that its Machines became.
    User terms are alternatives of each other, so ours is added to each of them; preferences are left alone.
    """
    if not node_names and not ordered_in:
        raise ValueError("a workload is built only after nodes were chosen for it: node_names is empty")
    affinity = deepcopy(existing or {})
    node_affinity = affinity["nodeAffinity"] = affinity.get("nodeAffinity") or {}  # null counts as absent
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    user_terms: list[Object] = required.get("nodeSelectorTerms") or [{}]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
        "nodeSelectorTerms": [
            chosen
            for term in user_terms
            for chosen in (
                *(_on_node(term, name) for name in sorted(node_names)),
                *([_on_ordered(term, workspace_name, ordered_in)] if ordered_in else []),
            )
        ]
    }
    if len(node_names) > 1 or ordered_in:
        anti = affinity["podAntiAffinity"] = affinity.get("podAntiAffinity") or {}
        demands = anti.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        anti["requiredDuringSchedulingIgnoredDuringExecution"] = [*demands, _one_per_node(workspace_name)]
    return affinity


def pinned_nodes(workload: Object) -> tuple[str, ...]:
    """The node names that a workload built here is bound to, sorted; () for an object of someone else's."""
    fields = [field for term in _terms(workload) for field in term.get("matchFields") or []]
    return tuple(sorted({name for field in fields if field.get("key") == "metadata.name" for name in field["values"]}))


def is_bound_to_ordered(workload: Object) -> bool:
    """Whether its pods may run on whatever node a Machine of its Workspace became."""
    wanted = [entry for term in _terms(workload) for entry in term.get("matchExpressions") or []]
    return any(entry.get("key") == labels.WORKSPACE for entry in wanted)


def _terms(workload: Object) -> list[Object]:
    spec = ((workload.get("spec") or {}).get("template") or {}).get("spec") or {}
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    return required.get("nodeSelectorTerms") or []


def _on_node(term: Object, node_name: str) -> Object:
    pinned = deepcopy(term)
    field: dict[str, Any] = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    pinned["matchFields"] = [*(pinned.get("matchFields") or []), field]
    return pinned


def _on_ordered(term: Object, workspace_name: str, namespace: str) -> Object:
    pinned = deepcopy(term)
    wanted = {labels.WORKSPACE: workspace_name, labels.WORKSPACE_NAMESPACE: namespace}
    ours = [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()]
    pinned["matchExpressions"] = [*(pinned.get("matchExpressions") or []), *ours]
    return pinned


def _one_per_node(workspace_name: str) -> Object:
    return {
        "labelSelector": {"matchLabels": selector_labels(workspace_name)},
        "topologyKey": "kubernetes.io/hostname",
    }
