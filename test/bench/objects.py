"""Realistic objects for the measurements: Machines of about 2.5 KB and pods of about 11 KB, a third of them managedFields."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def build_machine(number: int, version: int, phase: str = "pending") -> Object:
    """A Machine as the API server stores it, with owner labels, requirements, conditions and managedFields."""
    name = f"ws{number:09x}"
    return {
        "apiVersion": "karpenter.sh/v1alpha5",
        "kind": "Machine",
        "metadata": {
            "name": name,
            "uid": f"00000000-0000-4000-8000-{number:012x}",
            "resourceVersion": str(version),
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "finalizers": ["karpenter.sh/termination"],
            "labels": {
                "karpenter.sh/provisioner-name": "default",
                "kaito.sh/workspace": f"workspace-{number}",
                "kaito.sh/workspacenamespace": "default",
                "apps": f"model-{number}",
            },
            "annotations": {"kaito.sh/ordinal": "0", "kaito.sh/intent": "0123456789abcdef0123456789abcdef"},
            "managedFields": [_managed_fields("kaito-controller", 4), _managed_fields("gpu-provisioner", 4)],
        },
        "spec": {
            "machineTemplateRef": {"name": "default"},
            "requirements": [
                {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["Standard_NC24ads_A100_v4"]},
                {"key": "karpenter.sh/provisioner-name", "operator": "In", "values": ["default"]},
                {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]},
            ],
            "resources": {"requests": {"storage": "512Gi"}},
            "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        },
        "status": {
            "providerID": f"azure:///subscriptions/s/resourceGroups/rg/providers/vm/{name}",
            "nodeName": f"aks-{name}-vmss000000",
            "allocatable": {"cpu": "23670m", "memory": "214310Mi", "nvidia.com/gpu": "1", "pods": "110"},
            "capacity": {"cpu": "24", "memory": "225280Mi", "nvidia.com/gpu": "1", "pods": "110"},
            "conditions": [
                _condition(kind, phase)
                for kind in ("MachineLaunched", "MachineRegistered", "MachineInitialized", "Ready")
            ],
        },
    }


def build_pod(number: int, version: int) -> Object:
    """A pod with three containers, twenty environment variables each, volumes, statuses and managedFields: about 11 KB."""
    name = f"worker-{number:06d}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": f"team-{number % 20}",
            "uid": f"00000000-0000-4000-9000-{number:012x}",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"app": f"app-{number % 50}", "pod-template-hash": "5d4f8c7b9", "tier": "backend"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "u", "controller": True}
            ],
            "managedFields": [_managed_fields("kube-controller-manager", 30), _managed_fields("kubelet", 30)],
        },
        "spec": {
            "nodeName": f"node-{number % 100}",
            "containers": [_container(c, number) for c in ("server", "sidecar", "logger")],
            "volumes": [
                {"name": f"volume-{v}", "configMap": {"name": f"config-{v}", "defaultMode": 420}} for v in range(6)
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": f"10.1.{number % 250}.{number % 199}",
            "conditions": [
                _condition(kind, "True") for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {"name": c, "ready": True, "restartCount": 0, "imageID": f"registry.example/{c}@sha256:{'0' * 64}"}
                for c in ("server", "sidecar", "logger")
            ],
        },
    }


def _condition(kind: str, phase: str) -> Object:
    return {
        "type": kind,
        "status": "True" if phase != "pending" else "False",
        "reason": kind,
        "message": f"{kind} is {phase} since the last look of the controller",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }


def _container(name: str, number: int) -> Object:
    return {
        "name": name,
        "image": f"registry.example/{name}:1.{number % 30}",
        "env": [{"name": f"SETTING_{i}", "value": f"value of setting {i} of {name}"} for i in range(20)],
        "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [{"name": f"volume-{v}", "mountPath": f"/etc/volume-{v}", "readOnly": True} for v in range(6)],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "timeoutSeconds": 1},
    }


def _managed_fields(manager: str, fields: int) -> Object:
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-02T03:04:05Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {f'k:{{"type":"field-{i:03d}"}}': {".": {}, "f:status": {}} for i in range(fields)}},
    }
