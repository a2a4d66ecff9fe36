"""Small workload manifests for tests of clusters: just enough fields to be valid."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]


def pod_spec(**overrides: Any) -> Manifest:
    """One container `main` of image `app:1`; keys of the container and of the pod spec may be given."""
    container_keys = ("image", "ports", "resources", "readinessProbe", "command", "terminationMessagePolicy")
    container = {"name": "main", "image": "app:1", **{k: v for k, v in overrides.items() if k in container_keys}}
    return {"containers": [container], **{k: v for k, v in overrides.items() if k not in container_keys}}


def template(name: str, annotations: Manifest | None = None, **overrides: Any) -> Manifest:
    """A pod template labelled `app: <name>`."""
    return {"metadata": {"labels": {"app": name}, "annotations": annotations or {}}, "spec": pod_spec(**overrides)}


def pod(name: str, annotations: Manifest | None = None, **overrides: Any) -> Manifest:
    """A bare pod."""
    metadata = {"name": name, "namespace": "default", "labels": {"app": name}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec(**overrides)}


def deployment(name: str, replicas: int = 1, annotations: Manifest | None = None, **overrides: Any) -> Manifest:
    """A Deployment."""
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, annotations, **overrides),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def stateful_set(name: str, replicas: int = 1, policy: str = "OrderedReady", **overrides: Any) -> Manifest:
    """A StatefulSet with a headless service name."""
    spec = {
        "replicas": replicas,
        "serviceName": name,
        "podManagementPolicy": policy,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, **overrides),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def job(name: str, annotations: Manifest | None = None, job_spec: Manifest | None = None, **overrides: Any) -> Manifest:
    """A Job whose pods never restart in place."""
    spec = {"template": template(name, annotations, restartPolicy="Never", **overrides), **(job_spec or {})}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def service(name: str, port: int = 80, target_port: int = 5000) -> Manifest:
    """A ClusterIP Service in front of the pods labelled `app: <name>`."""
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target_port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


GPU_TOLERATION: Manifest = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}


def gpus(count: int) -> Manifest:
    """Resources that ask for GPUs."""
    return {"limits": {"nvidia.com/gpu": str(count)}}
