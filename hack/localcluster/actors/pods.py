"""Facts about pods, read from the raw object: phase, readiness, what they ask for, and how one is made from a template."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from controller_runtime.resources import Object, Resource, controller_of, is_deleting, name_of, namespace_of, uid_of
from hack.localcluster.apiserver.quantity import parse_quantity

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def quantity(value: str | int | float | None) -> float:
    """A Kubernetes quantity as a number; 0 for an absent or unreadable one (the API server refuses those)."""
    try:
        return float(parse_quantity(str(value if value is not None else 0)))
    except ValueError:
        return 0.0


def phase_of(pod: Object) -> str:
    """status.phase, `Pending` when absent."""
    return str((pod.get("status") or {}).get("phase") or "Pending")


def is_terminated(pod: Object) -> bool:
    """Succeeded or Failed."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Counts towards its owner's replicas: neither ended nor being deleted."""
    return not is_terminated(pod) and not is_deleting(pod)


def condition_is_true(obj: Object, kind: str) -> bool:
    """Whether status.conditions says True for that type."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(entry.get("type") == kind and entry.get("status") == "True" for entry in conditions)


def is_ready(pod: Object) -> bool:
    """The pod's Ready condition."""
    return condition_is_true(pod, "Ready")


def node_of(pod: Object) -> str:
    """spec.nodeName, "" before scheduling."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def containers_of(pod: Object, kind: str = "containers") -> list[Object]:
    """spec.containers or spec.initContainers."""
    return list((pod.get("spec") or {}).get(kind) or [])


def is_sidecar(container: Object) -> bool:
    """An init container that goes on running beside the others."""
    return container.get("restartPolicy") == "Always"


def requests_of(pod: Object) -> dict[str, float]:
    """What scheduling counts: the sum over containers and sidecars, or the largest single init container if that is more; plus one pod."""
    total = _sum(_requests(c) for c in containers_of(pod))
    sidecars = [c for c in containers_of(pod, "initContainers") if is_sidecar(c)]
    total = _sum([total, *(_requests(c) for c in sidecars)])
    for container in containers_of(pod, "initContainers"):
        for resource, amount in _requests(container).items():
            total[resource] = max(total.get(resource, 0.0), amount)
    return {**total, "pods": 1.0}


def _requests(container: Object) -> dict[str, float]:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return {key: quantity(value) for key, value in {**limits, **requests}.items()}


def _sum(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for key, amount in part.items():
            total[key] = total.get(key, 0.0) + amount
    return total


def owner_reference(owner: Object, resource: Resource) -> Object:
    """A controller reference, as the workload controllers set it."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_uid(obj: Object) -> str:
    """UID of the controlling owner, "" when there is none. Also the index function of the caches (as a list)."""
    return str((controller_of(obj) or {}).get("uid", ""))


def safe_hash(value: Any, length: int = 10) -> str:
    """A short name-safe hash of a JSON value, in the alphabet that Kubernetes uses for such suffixes."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:length])


def new_pod(
    owner: Object, resource: Resource, template: Object, name: str, *, labels: Mapping[str, str] | None = None
) -> Object:
    """A pod of a template, named, labelled and controlled by its owner."""
    metadata = copy.deepcopy(template.get("metadata") or {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace_of(owner),
            "labels": {**(metadata.get("labels") or {}), **(labels or {})},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [owner_reference(owner, resource)],
        },
        "spec": copy.deepcopy(template.get("spec") or {}),
    }
