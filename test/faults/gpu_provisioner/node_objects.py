"""The node objects that KAITO orders, as it writes them: a Machine of 0.3, a NodeClaim of 0.4 and later."""

from __future__ import annotations

from typing import Any

from controller_runtime.resources import Object


def machine_object(name: str = "ws012345678", **spec: Any) -> Object:
    """A Machine as KAITO 0.3 makes it."""
    values = spec.pop("instance_types", ["Standard_NC12s_v3"])
    requirements = spec.pop("requirements", [])
    return {
        "metadata": {
            "name": name,
            "labels": {
                "karpenter.sh/provisioner-name": "default",
                "kaito.sh/workspace": "workspace-llama",
                "kaito.sh/workspacenamespace": "default",
                "apps": "llama",
                **spec.pop("labels", {}),
            },
            "annotations": spec.pop("annotations", {}),
        },
        "spec": {
            "machineTemplateRef": {"name": name},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": values},
                {"key": "karpenter.sh/provisioner-name", "operator": "In", "values": ["default"]},
                {"key": "kaito.sh/machine-type", "operator": "In", "values": ["gpu"]},
                {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]},
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
                *requirements,
            ],
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "resources": {"requests": {"storage": "120Gi"}},
            **spec,
        },
    }


def node_claim_object(name: str = "ws012345678", **spec: Any) -> Object:
    """A NodeClaim as KAITO 0.4 and later make it."""
    values = spec.pop("instance_types", ["Standard_NC12s_v3"])
    return {
        "metadata": {
            "name": name,
            "labels": {
                "karpenter.sh/nodepool": "kaito",
                "kaito.sh/workspace": "workspace-llama",
                "kaito.sh/workspacenamespace": "default",
                "apps": "llama",
                **spec.pop("labels", {}),
            },
            "annotations": {"karpenter.sh/do-not-disrupt": "true", **spec.pop("annotations", {})},
        },
        "spec": {
            "nodeClassRef": {"group": "karpenter.azure.com", "kind": "AKSNodeClass", "name": "default"},
            "requirements": [
                {"key": "karpenter.sh/nodepool", "operator": "In", "values": ["kaito"]},
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": values},
                {"key": "karpenter.azure.com/sku-name", "operator": "In", "values": values},
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            ],
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
            "resources": {"requests": {"storage": "120Gi"}},
            "expireAfter": "Never",
            **spec,
        },
    }
