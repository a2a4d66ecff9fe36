"""The CustomResourceDefinitions, from the typed models and the CEL rules."""

from __future__ import annotations

from typing import Any

from gpu_provisioner.api.labels import INSTANCE_TYPE
from gpu_provisioner.api.machine import MachineSpec, MachineStatus
from gpu_provisioner.api.node_claim_schema import NodeClaimSpec, NodeClaimStatus
from hack.generate.structural import Schema, node_at, structural_schema
from hack.generate.workspace_rules import workspace_rules
from kaito_controller.api.types import Workspace

_API_VERSION = "Version of the API, kaito.sh/v1alpha1."
_DEFAULTS = (
    "inference.preset.accessMode",
    "resource.count",
    "resource.instanceType",
    "spec",
    "spec.replicas",
    "tuning.preset.accessMode",
)
_SCALE = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector",
}
"""The API server takes no path outside of spec, so that resource.count itself cannot be what is scaled."""
_STRENGTH = "inference.adapters[].strength"
_TAINT = {"properties": {"effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]}}}
_MACHINE_BOUNDS: dict[str, Schema] = {
    "spec.requirements": {"maxItems": 100},
    "spec.requirements[].key": {"minLength": 1, "maxLength": 317},
    "spec.requirements[].operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]},
    "spec.requirements[].values": {"maxItems": 100},
    "spec.requirements[].values[]": {"maxLength": 63},
    "spec.resources.requests": {"maxProperties": 100},
    "spec.taints": {"maxItems": 50},
    "spec.taints[].effect": _TAINT["properties"]["effect"],
    "spec.taints[].key": {"minLength": 1, "maxLength": 317},
    "spec.taints[].value": {"maxLength": 63},
    "spec.startupTaints": {"maxItems": 50},
    "spec.startupTaints[].effect": _TAINT["properties"]["effect"],
    "spec.startupTaints[].key": {"minLength": 1, "maxLength": 317},
    "spec.startupTaints[].value": {"maxLength": 63},
    "status.conditions": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    "status.conditions[].type": {"minLength": 1, "maxLength": 316},
    "status.conditions[].status": {"enum": ["True", "False", "Unknown"]},
}
"""Bounds that Azure's Machine CRD lacks. They refuse only what no provisioner could act on."""


def workspace_crd() -> dict[str, Any]:
    """`workspaces.kaito.sh`."""
    schema = structural_schema(Workspace, defaults=(*_DEFAULTS, _STRENGTH))
    schema["properties"] |= _object_meta(_API_VERSION)
    for rule in workspace_rules():
        node_at(schema, rule.at).setdefault("x-kubernetes-validations", []).append(rule.to_validation())
    columns = [
        _column("Instance", ".resource.instanceType", "VM size of the nodes"),
        _condition_column("ResourceReady", "The GPU nodes are ready"),
        _condition_column("InferenceReady", "The model is served"),
        _condition_column("WorkspaceReady", "The model is served, or tuned and pushed"),
        _column("Age", ".metadata.creationTimestamp", "", kind="date"),
        _column("Ordered", ".status.instanceType", "Entry of resource.instanceTypes that was taken", priority=1),
        _condition_column("JobStarted", "The tuning run has started", priority=1),
        _column("Reason", _condition_path("WorkspaceReady", "reason"), "Why it is (not) ready", priority=1),
        _column("Nodes", ".status.workerNodes", "Nodes in use", priority=1),
        _column("Progress", ".status.progress", "How far the tuning run is", priority=1),
    ]
    names = {
        "categories": ["workspace"],
        "kind": "Workspace",
        "listKind": "WorkspaceList",
        "plural": "workspaces",
        "shortNames": ["wk", "wks", "ws"],
        "singular": "workspace",
    }
    return _crd("kaito.sh", "Namespaced", names, "v1alpha1", schema, columns, {"scale": _SCALE})


def machine_crd() -> dict[str, Any]:
    """`machines.karpenter.sh`."""
    schema: Schema = {
        "description": "A Machine asks for one Node of a given instance type. The controller that needs the Node writes spec; "
        "gpu-provisioner writes status.",
        "type": "object",
        "properties": {
            **_object_meta("Version of the API, karpenter.sh/v1alpha5."),
            "spec": structural_schema(MachineSpec),
            "status": structural_schema(MachineStatus),
        },
    }
    for path, bounds in _MACHINE_BOUNDS.items():
        node_at(schema, path).update(bounds)
    labels = ".metadata.labels."
    columns = [
        # The published column reads a label that no provisioner sets any more. The request is always there, and a label of this name
        # would be copied to the agent pool, where Azure refuses names of Kubernetes' own.
        _column("Type", _requirement_path(INSTANCE_TYPE), "VM size that is asked for first"),
        _column("Zone", rf"{labels}karpenter\.k8s\.azure/zone", "Availability zone"),
        _column("Node", ".status.nodeName", "The Node it became"),
        _condition_column("Ready", "The Node can be used"),
        _column("Age", ".metadata.creationTimestamp", "", kind="date"),
        _column("Capacity", rf"{labels}karpenter\.sh/capacity-type", "on-demand or spot", priority=1),
        _column("Provisioner", rf"{labels}karpenter\.sh/provisioner-name", "Who ordered it", priority=1),
        _column("Template", ".spec.machineTemplateRef.name", "Provider template", priority=1),
    ]
    names = {
        "categories": ["karpenter"],
        "kind": "Machine",
        "listKind": "MachineList",
        "plural": "machines",
        "singular": "machine",
    }
    return _crd("karpenter.sh", "Cluster", names, "v1alpha5", schema, columns)


_CLAIM_BOUNDS: dict[str, Schema] = {
    "spec.requirements": {"maxItems": 100},
    "spec.requirements[].key": {"minLength": 1, "maxLength": 316},
    "spec.requirements[].operator": {"enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]},
    "spec.requirements[].values": {"maxItems": 100},
    "spec.requirements[].values[]": {"maxLength": 63},
    "spec.taints[].effect": _TAINT["properties"]["effect"],
    "spec.taints[].key": {"minLength": 1, "maxLength": 316},
    "spec.startupTaints[].effect": _TAINT["properties"]["effect"],
    "spec.startupTaints[].key": {"minLength": 1, "maxLength": 316},
    "status.conditions": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    "status.conditions[].type": {"minLength": 1, "maxLength": 316},
    "status.conditions[].status": {"enum": ["True", "False", "Unknown"]},
    "status.conditions[].reason": {"minLength": 1, "maxLength": 1024},
    "status.conditions[].message": {"maxLength": 32768},
}


def node_claim_crd() -> dict[str, Any]:
    """`nodeclaims.karpenter.sh`, for clusters in which no Karpenter brings its own."""
    schema: Schema = {
        "description": "A NodeClaim asks for one Node of a given node class. The controller that needs the Node writes spec; the "
        "provisioner of the class writes status.",
        "type": "object",
        "required": ["spec"],
        "properties": {
            **_object_meta("Version of the API, karpenter.sh/v1."),
            "spec": structural_schema(NodeClaimSpec, defaults=("expireAfter",)),
            "status": structural_schema(NodeClaimStatus),
        },
    }
    for path, bounds in _CLAIM_BOUNDS.items():
        node_at(schema, path).update(bounds)
    node_at(schema, "spec")["x-kubernetes-validations"] = [{"rule": "self == oldSelf", "message": "spec is immutable"}]
    labels = ".metadata.labels."
    columns = [
        _column("Type", _requirement_path(INSTANCE_TYPE), "Instance type that is asked for first"),
        _column("Capacity", rf"{labels}karpenter\.sh/capacity-type", "on-demand or spot"),
        _column("Zone", rf"{labels}topology\.kubernetes\.io/zone", "Availability zone"),
        _column("Node", ".status.nodeName", "The Node it became"),
        _condition_column("Ready", "The Node can be used"),
        _column("Age", ".metadata.creationTimestamp", "", kind="date"),
        _column("ID", ".status.providerID", "The cloud's name of the node", priority=1),
        _column("NodePool", rf"{labels}karpenter\.sh/nodepool", "Who ordered it", priority=1),
        _column("NodeClass", ".spec.nodeClassRef.name", "Settings of the cloud", priority=1),
    ]
    names = {
        "categories": ["karpenter"],
        "kind": "NodeClaim",
        "listKind": "NodeClaimList",
        "plural": "nodeclaims",
        "singular": "nodeclaim",
    }
    return _crd("karpenter.sh", "Cluster", names, "v1", schema, columns)


def _crd(
    group: str,
    scope: str,
    names: dict[str, Any],
    version: str,
    schema: Schema,
    columns: list[dict[str, Any]],
    subresources: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{group}"},
        "spec": {
            "group": group,
            "names": names,
            "scope": scope,
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}, **(subresources or {})},
                }
            ],
        },
    }


def _object_meta(api_version: str) -> Schema:
    return {
        "apiVersion": {"type": "string", "description": api_version},
        "kind": {"type": "string", "description": "Kind of the object."},
        "metadata": {"type": "object"},
    }


def _column(name: str, path: str, description: str, *, kind: str = "string", priority: int = 0) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    if description:
        column["description"] = description
    if priority:
        column["priority"] = priority
    return column


def _condition_path(condition: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{condition}")].{field}'


def _requirement_path(key: str) -> str:
    return f'.spec.requirements[?(@.key=="{key}")].values[0]'


def _condition_column(condition: str, description: str, *, priority: int = 0) -> dict[str, Any]:
    return _column(condition, _condition_path(condition, "status"), description, priority=priority)
