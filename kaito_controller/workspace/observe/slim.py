"""What caches keep of objects that others write: the fields that are read here, and no more. Pure.

A Node lists its images and a Pod its whole template; nobody here reads them, and they are most of the memory. None of these objects is
ever written back from a cache (patches are). What has another form than the API promises is kept as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from controller_runtime.resources import Object, annotations_of, labels_of, name_of
from controller_runtime.untrusted import entries
from kaito_controller.api import inference_config, labels, tuning_config
from kaito_controller.workspace.observe.nodes import GPU
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.eviction import SCHEDULED_EVENT

_IDENTITY = ("name", "namespace", "uid", "resourceVersion")
_POD_META = (*_IDENTITY, "labels", "ownerReferences", "creationTimestamp", "deletionTimestamp")
_CONDITIONS = ("Ready", SCHEDULED_EVENT)
_MOST_CONDITIONS = 64
_WRITTEN_BY_USERS = ("resource", "inference", "tuning", "spec")
LARGEST_PART = 64 * 1024
"""Bytes as JSON of what a Workspace says under one of its keys; pod templates have 2,000 as a rule."""


def workspace(obj: Object) -> Object:
    """What its author may make as large as etcd allows is cut: a pod template of 1.5 MB of empty maps takes 35 MB (measured).

    A part that is too large becomes a sentence in the place of a map, which reads as malformed and is shown as such. Of annotations ours
    stay, of which there are few.
    """
    meta = {key: value for key, value in _meta(obj).items() if key != "managedFields"}
    marks = {key: value for key, value in annotations_of(obj).items() if key.startswith("kaito.sh/")}
    kept = {key: _within_bounds(value) if key in _WRITTEN_BY_USERS else value for key, value in obj.items()}
    return {**kept, "metadata": {**meta, "annotations": marks}}


def _within_bounds(part: Any) -> Any:
    size = len(orjson.dumps(part))
    return part if size <= LARGEST_PART else f"({size} bytes; more than {LARGEST_PART} are not read)"


def namespace(obj: Object) -> Object:
    """Who it is and what caps it sets."""
    marks = {key: value for key, value in annotations_of(obj).items() if key.startswith("kaito.sh/max-")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {**_of(_meta(obj), "name", "uid", "resourceVersion"), "annotations": marks},
    }


def node(obj: Object) -> Object:
    """Labels, our mark, taints, whether it is Ready or about to be evicted, and its GPUs."""
    meta, spec, status = _meta(obj), obj.get("spec") or {}, obj.get("status") or {}
    marks = {key: value for key, value in annotations_of(obj).items() if key == naming.CLAIM}
    conditions = [c for c in entries(status.get("conditions"), _MOST_CONDITIONS) if c.get("type") in _CONDITIONS]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {**_of(meta, *_IDENTITY, "labels", "creationTimestamp", "deletionTimestamp"), "annotations": marks},
        "spec": _of(spec, "unschedulable", "taints"),
        "status": {"conditions": conditions, "allocatable": _of(status.get("allocatable") or {}, GPU)},
    }


def pod(obj: Object) -> Object:
    """Where it runs and may run, what pulls its images, and its whole status."""
    spec = _of(obj.get("spec") or {}, "nodeName", "affinity", "imagePullSecrets")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _of(_meta(obj), *_POD_META),
        "spec": spec,
        "status": obj.get("status") or {},
    }


def metadata(obj: Object) -> Object:
    """Which object it is, and which version of it."""
    return {**obj, "metadata": _of(_meta(obj), *_IDENTITY)}


def config_map(catalogue: str) -> Callable[[Object], Object]:
    """Of a stranger's ConfigMap what could be the configuration of a Workspace; ours, and the `catalogue`, whole."""

    def slim(obj: Object) -> Object:
        obj.get("metadata", {}).pop("managedFields", None)
        if labels.WORKSPACE in labels_of(obj) or name_of(obj) == catalogue:
            return obj
        obj.pop("binaryData", None)
        data = obj.get("data") or {}
        obj["data"] = _of(data, tuning_config.KEY, inference_config.KEY)
        return obj

    return slim


def _meta(obj: Object) -> Mapping[str, Any]:
    return obj.get("metadata") or {}


def _of(found: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: found[key] for key in keys if key in found}
