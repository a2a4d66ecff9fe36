"""Is a pod template of the shape that merging needs? The CRD keeps most of it open, so any JSON can arrive here.

Only what `template` reaches into is checked; the API server checks all the rest when the workload is created.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaito_controller.api.violation import Violation

_MAPS = (
    "metadata",
    "metadata.labels",
    "metadata.annotations",
    "spec",
    "spec.securityContext",
    "spec.affinity",
    "spec.affinity.nodeAffinity",
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
    "spec.affinity.podAntiAffinity",
)
_LISTS = (
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
    "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution",
    "spec.tolerations",
    "spec.imagePullSecrets",
    "spec.volumes",
    "spec.containers",
    "spec.initContainers",
)
_CONTAINER_MAPS = ("securityContext",)
_CONTAINER_LISTS = ("env", "ports", "volumeMounts")


def misshapen(template: Mapping[str, Any], path: str) -> list[Violation]:
    """Fields that are no map, or no list of maps, where Kubernetes has one."""
    found = list(_mismatches(template, path, _MAPS, _LISTS))
    if found:
        return found
    spec = template.get("spec") or {}
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or []):
            found += _mismatches(container, f"{path}.spec.{group}[{index}]", _CONTAINER_MAPS, _CONTAINER_LISTS)
    return found


def _mismatches(
    root: Mapping[str, Any], path: str, maps: tuple[str, ...], lists: tuple[str, ...]
) -> Iterator[Violation]:
    for field in maps:
        if not isinstance(_value(root, field), dict | None):
            yield Violation(f"{path}.{field}", "must be a map")
    for field in lists:
        value = _value(root, field)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
            yield Violation(f"{path}.{field}", "must be a list of maps")


def _value(root: Any, field: str) -> Any:
    for step in field.split("."):
        root = root.get(step) if isinstance(root, dict) else None
    return root
