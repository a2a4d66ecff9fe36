"""The custom types of the suite: `Widget` with everything a schema can say, `Plain` without a status subresource."""

from __future__ import annotations

import secrets
from typing import Any

GROUP = f"conformance-{secrets.token_hex(3)}.example.com"
API_VERSION = f"{GROUP}/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ALL_WIDGETS = f"/apis/{API_VERSION}/widgets"
ALL_PLAINS = f"/apis/{API_VERSION}/plains"

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["size"],
    "x-kubernetes-validations": [
        {
            "rule": "!has(self.limit) || self.size <= self.limit",
            "messageExpression": "self.limit > 10 ? 'over the high limit' : 'over the low limit'",
        },
        {
            "rule": "has(self.color) == has(oldSelf.color)",
            "message": "color cannot be added or removed",
            "fieldPath": ".color",
        },
    ],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How large it is."},
        "limit": {"type": "integer"},
        "wide": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**63 - 1},
        "long": {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**53 - 1},
        "deep": {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**62},
        "bare": {"type": "integer", "maximum": 2**63 - 1},
        "short": {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
        "shorter": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 2**31},
        "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 8, "minLength": 2},
        "color": {
            "type": "string",
            "maxLength": 20,
            "x-kubernetes-validations": [
                {"rule": "self == oldSelf", "message": "is immutable", "reason": "FieldValueForbidden"}
            ],
        },
        "port": {"x-kubernetes-int-or-string": True},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "maybe": {"type": "string", "nullable": True},
        "nested": {"type": "object", "properties": {"level": {"type": "integer", "default": 3}}},
        "parts": {
            "type": "array",
            "maxItems": 3,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "maxLength": 20}, "value": {"type": "string"}},
            },
        },
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "words": {"type": "array", "items": {"type": "string"}},
    },
}
STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "phase": {"type": "string"},
        "size": {"type": "integer"},
        "selector": {"type": "string"},
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {
                "type": "object",
                "required": ["type", "status"],
                "properties": {"type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"}},
            },
        },
    },
}
SCALE = {
    "specReplicasPath": ".spec.nested.level",
    "statusReplicasPath": ".status.size",
    "labelSelectorPath": ".status.selector",
}
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def definitions() -> list[dict[str, Any]]:
    """The CRDs."""
    schema = {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}
    plain = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                              "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}  # fmt: skip
    return [
        definition_of(
            "Widget", "widgets", schema, subresources={"status": {}, "scale": SCALE}, additionalPrinterColumns=COLUMNS
        ),
        definition_of("Plain", "plains", plain),
    ]


def definition_of(kind: str, plural: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A CRD with one version, v1."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **more}
    names = {"kind": kind, "plural": plural, "shortNames": [plural[:3]], "categories": ["conformance"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


def widgets(namespace: str) -> str:
    """The path of a namespace's Widgets."""
    return f"/apis/{API_VERSION}/namespaces/{namespace}/widgets"


def widget(called: str = "w", /, **spec: Any) -> dict[str, Any]:
    """A Widget; size 5 unless told."""
    return {"apiVersion": API_VERSION, "kind": "Widget", "metadata": {"name": called}, "spec": {"size": 5, **spec}}


def plain(name: str = "p", **fields: Any) -> dict[str, Any]:
    """A Plain."""
    return {"apiVersion": API_VERSION, "kind": "Plain", "metadata": {"name": name}, **fields}


def config_maps(namespace: str) -> str:
    """The path of a namespace's ConfigMaps."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


def config_map(name: str = "c", labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels or {}}, "data": data}
