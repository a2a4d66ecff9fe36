"""Names that all node APIs share: labels of orders and their Nodes, taints, and what is read from conditions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller_runtime.resources import Object, labels_of
from controller_runtime.untrusted import entries, mapping, text
from gpu_provisioner.api import conditions, labels, reasons

INSTANCE_TYPE = labels.INSTANCE_TYPE
INSTANCE_TYPE_BETA = labels.INSTANCE_TYPE_BETA
CAPACITY_TYPE = labels.CAPACITY_TYPE
WORKSPACE = labels.WORKSPACE
WORKSPACE_NAMESPACE = labels.WORKSPACE_NAMESPACE
"""On orders and Nodes: for whom they are."""
ASK_AGAIN = labels.ASK_AGAIN
"""On orders: a provisioner that remembers what its cloud refused asks it all the same."""

GPU_TAINT = {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
"""Of every node that is ordered; generated pods tolerate it."""

PLATFORM = {labels.ARCH: "amd64", labels.OS: "linux"}
"""Requirements of every node that is ordered."""

WITHOUT_CAUSE = (
    reasons.LAUNCH_TIMEOUT,
    reasons.REGISTRATION_TIMEOUT,
    reasons.INITIALIZATION_TIMEOUT,
    reasons.POOL_GONE,
    reasons.POOL_IN_MAINTENANCE,
    reasons.POOL_DELETING,
    reasons.DRAINING,
    reasons.NODE_DELETED,
    reasons.NODE_UNHEALTHY,
)
"""What gpu-provisioner says has happened, but not why."""
UNAVAILABLE = (reasons.QUOTA_EXCEEDED, reasons.INSUFFICIENT_CAPACITY, reasons.INSTANCE_TYPE_NOT_OFFERED)
"""With which it says that another instance type may be had."""

MOST_CONDITIONS = 100
MOST_REQUIREMENTS = 100


def owner_key(obj: Object) -> str:
    """`namespace/name` of the Workspace that an order or Node is labelled for, "" when it is for none."""
    found = labels_of(obj)
    name, namespace = found.get(WORKSPACE), found.get(WORKSPACE_NAMESPACE)
    return f"{namespace}/{name}" if name and namespace else ""


def selector_of(namespace: str, name: str) -> str:
    """Selects everything that was ordered for Workspaces of this name."""
    return f"{WORKSPACE}={name},{WORKSPACE_NAMESPACE}={namespace}"


def is_in(key: str, value: str) -> dict[str, Any]:
    """One requirement with one value."""
    return {"key": key, "operator": "In", "values": [value]}


def is_spot_order(order: Object) -> bool:
    """Whether a spot node was ordered, and nothing else."""
    found = entries(mapping(order.get("spec")).get("requirements"), MOST_REQUIREMENTS)
    return any(entry.get("key") == CAPACITY_TYPE and entry.get("values") == ["spot"] for entry in found)


def requirement_of(order: Object, key: str) -> str:
    """The first value that an order asks for under this key; "" when it names none."""
    for requirement in entries(mapping(order.get("spec")).get("requirements"), MOST_REQUIREMENTS):
        values = requirement.get("values")
        if requirement.get("key") == key and isinstance(values, list) and values:
            return text(values[0], 253)
    return ""


def conditions_of(stored: Object) -> dict[str, Mapping[str, Any]]:
    """By type."""
    found = entries(mapping(stored.get("status")).get("conditions"), MOST_CONDITIONS)
    return {str(entry.get("type")): entry for entry in found}


def in_full(said: Mapping[str, Any], ready: Mapping[str, Any]) -> Mapping[str, Any]:
    """A condition that explains the state. Where it has a literal that peers compare, the words of the cloud are taken from `Ready`."""
    is_literal = said.get("message") == conditions.ALL_TYPES_UNAVAILABLE and ready.get("reason") == said.get("reason")
    return {**said, "message": ready["message"]} if is_literal and ready.get("message") else said


def is_true(found: Mapping[str, Mapping[str, Any]], step: str) -> bool:
    """Whether the condition is there and True."""
    return found.get(step, {}).get("status") == "True"
