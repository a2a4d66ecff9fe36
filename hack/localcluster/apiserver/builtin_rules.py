"""Rules of single built-in types that no schema states: server-set fields, immutability, pod deletion grace."""

from __future__ import annotations

import base64

from hack.localcluster.apiserver.admission import POLICIES, policy_causes
from hack.localcluster.apiserver.builtin_validation import type_rules
from hack.localcluster.apiserver.container_validation import undecodable_quantity
from hack.localcluster.apiserver.defaults import apply_defaults, give_job_identity
from hack.localcluster.apiserver.errors import Cause, UndecodableError, invalid
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.schema import builtin_kind_schema
from hack.localcluster.apiserver.services import ClusterIPs
from hack.localcluster.apiserver.store import Store
from hack.localcluster.apiserver.validation import MISSING, prune, report_unknown, validate

_ZERO_COUNTERS = {
    ("apps", "replicasets"): ("replicas",),
    ("apps", "statefulsets"): ("replicas", "availableReplicas"),
    ("apps", "daemonsets"): ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"),
    ("policy", "poddisruptionbudgets"): ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"),
}
"""Counters that a status always has, being plain integers in the server: a new object starts at zero, whatever its creator sent."""


_NO_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class BuiltinRules:
    """Prepare objects of built-in types."""

    def __init__(self, store: Store) -> None:
        self.cluster_ips = ClusterIPs(store)

    def prepare(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
        """Default, set the server's fields, validate; in place."""
        causes = _check_schema(kind, old, new, write, subresource)
        if old is None:
            _initial_status(kind, new)
        if kind.storage == ("", "services"):
            self.cluster_ips.prepare(kind, old, new)
        if kind.storage == ("", "secrets"):
            _fold_string_data(new)
            new.setdefault("type", "Opaque")
        if old is None and kind.storage == ("batch", "jobs"):
            give_job_identity(new)
        if subresource != "status":
            apply_defaults(kind, new)
        if subresource == "":
            causes += type_rules(kind, old, new)
        if kind.storage == POLICIES:
            causes += policy_causes(new)
        if causes:
            raise invalid(kind, new["metadata"].get("name", ""), causes)


def _check_schema(kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> list[Cause]:
    """Prune in place, then validate; 400 for an object that does not decode, before any rule looks at it."""
    schema = builtin_kind_schema(kind.api_version, kind.kind)
    if schema is None:
        return []
    before = MISSING if old is None else old
    if subresource == "":
        _drop_nulls(new)
        if (amount := undecodable_quantity(new.get("spec"))) is not None:
            raise UndecodableError(kind, f"{amount}: {_NO_QUANTITY}")
    if subresource == "":
        report_unknown(kind, prune(new, schema, old=before), write)
    causes = list(validate(new, schema, old=before))
    wrong = next((cause for cause in causes if cause.reason == "FieldValueTypeInvalid"), None)
    if wrong is not None and subresource == "":
        raise UndecodableError(kind, f"json: cannot unmarshal into field {wrong.field}: {wrong.message}")
    # Go fills numbers that a status leaves out with zero, so nothing is missing there.
    return [
        cause for cause in causes if not (cause.field.startswith("status") and cause.reason == "FieldValueRequired")
    ]


def check_decodable(kind: ResourceType, obj: Object) -> None:
    """400 for what Go's type cannot hold."""
    schema = builtin_kind_schema(kind.api_version, kind.kind)
    _drop_nulls(obj)
    for cause in validate(obj, schema) if schema else ():
        if cause.reason == "FieldValueTypeInvalid":
            raise UndecodableError(kind, f"json: cannot unmarshal into field {cause.field}: {cause.message}")


def _drop_nulls(value: object) -> None:
    """Go decodes null as if the field were not there."""
    if isinstance(value, list):
        for item in value:
            _drop_nulls(item)
    if isinstance(value, dict):
        for name in [name for name, child in value.items() if child is None]:
            del value[name]
        for child in value.values():
            _drop_nulls(child)


def _initial_status(kind: ResourceType, new: Object) -> None:
    if kind.storage == ("", "namespaces"):
        new["spec"] = {"finalizers": ["kubernetes"]}
        new["status"] = {"phase": "Active"}
        new["metadata"]["labels"] = (new["metadata"].get("labels") or {}) | {
            "kubernetes.io/metadata.name": new["metadata"]["name"]
        }
    elif kind.storage == ("", "pods"):
        new["status"] = {"phase": "Pending", "qosClass": qos_class(new.get("spec") or {})}
    elif kind.storage == ("", "services"):
        new["status"] = {"loadBalancer": {}}
    elif kind.plural in ("replicasets", "statefulsets"):
        new["status"] = {"replicas": 0}
    elif kind.storage in _ZERO_COUNTERS:
        new["status"] = dict.fromkeys(_ZERO_COUNTERS[kind.storage], 0)
    elif "status" in kind.subresources:
        new.setdefault("status", {})


def qos_class(spec: Object) -> str:
    """A pod's quality-of-service class."""
    resources = [container.get("resources") or {} for container in spec.get("containers") or []]
    named = [
        {name for part in ("requests", "limits") for name in (entry.get(part) or {}) if name in ("cpu", "memory")}
        for entry in resources
    ]
    if not any(named):
        return "BestEffort"
    for entry in resources:
        limits, requests = entry.get("limits") or {}, entry.get("requests") or {}
        if any(name not in limits or requests.get(name, limits[name]) != limits[name] for name in ("cpu", "memory")):
            return "Burstable"
    return "Guaranteed"


def _fold_string_data(new: Object) -> None:
    data = new.pop("stringData", None)
    if data:
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        new["data"] = (new.get("data") or {}) | encoded


def pod_grace_s(pod: Object, options: Object) -> int:
    """How long a pod's deletion waits for its kubelet: not at all when it never ran or has ended."""
    spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    grace = options.get("gracePeriodSeconds")
    if grace is None:
        grace = pod["metadata"].get("deletionGracePeriodSeconds", spec.get("terminationGracePeriodSeconds", 30))
    return max(0, int(grace))
