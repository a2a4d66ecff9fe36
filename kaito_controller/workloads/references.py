"""What a pod needs that others must have made: claims and ConfigMaps, by name. Secrets are left out: nobody here may look for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller_runtime.resources import Object


def pod_references(spec: Object) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(PersistentVolumeClaims, ConfigMaps) without which the kubelet would not start the pod; what is optional is left out."""
    claims = {str(claim.get("claimName")) for claim in _sources(spec, "persistentVolumeClaim")}
    config_maps = {
        str(source.get("name"))
        for source in (*_sources(spec, "configMap"), *_environment(spec))
        if not source.get("optional")
    }
    return tuple(sorted(claims)), tuple(sorted(config_maps))


def _sources(spec: Object, kind: str) -> Iterator[Mapping[str, Any]]:
    for volume in spec.get("volumes") or []:
        projected = ((volume.get("projected") or {}).get("sources")) or []
        yield from (source[kind] for source in (volume, *projected) if source.get(kind))


def _environment(spec: Object) -> Iterator[Mapping[str, Any]]:
    for container in [*(spec.get("initContainers") or []), *spec["containers"]]:
        yield from (entry["configMapRef"] for entry in container.get("envFrom") or [] if entry.get("configMapRef"))
        sources = (entry.get("valueFrom") or {} for entry in container.get("env") or [])
        yield from (source["configMapKeyRef"] for source in sources if source.get("configMapKeyRef"))
