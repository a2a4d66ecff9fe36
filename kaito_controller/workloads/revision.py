"""Is what runs what was meant? Hashes written on every generated object, and the comparison that reads them.

Two questions are kept apart, because they have different answers. *Did the user change something?* Then the change rolls out. *Would
we build it differently today?* After an upgrade of the operator or its catalogue, yes; but a running model is never restarted
for that. So an object carries a hash of the whole intent and a hash of the part that the user controls (nodes included).

Live objects also hold what the API server filled in. Hence drift is judged one way only: every field that we meant must be there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from copy import deepcopy
from enum import Enum
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.api import labels
from kaito_controller.workloads.scheduling import pinned_nodes
from kaito_controller.workloads.semantic_equality import contains

WORKSPACE_HASH = "kaito.sh/workspace-hash"
"""Of what the user controls. On a Job: of what training depends on, without nodes, output and secrets."""
OUTPUT_HASH = "kaito.sh/output-hash"
"""On a Job: where the result goes."""
ACCESS_HASH = "kaito.sh/access-hash"
"""On a Job: which secrets pull and push."""
PUSH_ONLY = "kaito.sh/push-only"
"""On a Job: it trains nothing and only pushes what is in the output volume."""

_SERVED_KINDS = ("Deployment", "StatefulSet")


class UpdateDecision(Enum):
    """What to do about one generated object."""

    CREATE = "create"
    KEEP = "keep"
    ROLL_OUT = "roll out"
    """The user or the choice of nodes changed what is meant."""
    REPAIR = "repair"
    """Somebody changed the object; put back what is meant."""
    SCALE = "scale"
    """Only the operator or its catalogue would build it differently, and the number of replicas is another."""
    HELD_BACK = "held back"
    """Only the operator or its catalogue would build it differently: leave the running model alone, and say so."""


def digest(value: Any) -> str:
    """A stable hash of JSON: 32 hex digits, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def intent_hash(obj: Object) -> str:
    """Hash of everything that was meant, without annotations that only describe it."""
    meta = {key: value for key, value in obj["metadata"].items() if key != "annotations"}
    return digest({**{key: value for key, value in obj.items() if key != "status"}, "metadata": meta})


def sealed(obj: Object, hashes: Mapping[str, Any] | None = None) -> Object:
    """`obj` with its annotations: the intent hash, and for each entry of `hashes` the digest of its value."""
    annotations = {key: digest(value) for key, value in (hashes or {}).items()}
    annotations[labels.TEMPLATE_HASH] = intent_hash(obj)
    obj["metadata"]["annotations"] = {**obj["metadata"].get("annotations", {}), **annotations}
    return obj


def annotation(obj: Object, key: str) -> str:
    """An annotation, "" when absent."""
    return str(((obj.get("metadata") or {}).get("annotations") or {}).get(key) or "")


def is_same_intent(live: Object, desired: Object) -> bool:
    """Whether the live object was written for what is meant now, whatever became of it since."""
    return annotation(live, labels.TEMPLATE_HASH) == annotation(desired, labels.TEMPLATE_HASH)


def has_drifted(live: Object, desired: Object) -> bool:
    """Whether a field that was meant is missing from, or different in, the live object."""
    live_meta, meant_meta = live.get("metadata") or {}, desired["metadata"]
    return not (
        contains(live_meta.get("labels"), meant_meta["labels"])
        and contains(live.get("spec"), desired.get("spec"))
        and contains(live.get("data"), desired.get("data"))
    )


def compare(live: Object | None, desired: Object) -> UpdateDecision:
    """What to do about a Service, ConfigMap, Deployment or StatefulSet. For Jobs see `restart_reason`."""
    if live is None:
        return UpdateDecision.CREATE
    if is_same_intent(live, desired):
        return UpdateDecision.REPAIR if has_drifted(live, desired) else UpdateDecision.KEEP
    meant_by_user = annotation(desired, WORKSPACE_HASH)
    if desired["kind"] not in _SERVED_KINDS or not annotation(live, WORKSPACE_HASH):
        return UpdateDecision.REPAIR
    if annotation(live, WORKSPACE_HASH) != meant_by_user:
        return UpdateDecision.ROLL_OUT
    if _replicas(live) == _replicas(desired):
        return UpdateDecision.HELD_BACK
    counted = {**desired, "spec": {**desired["spec"], "replicas": _replicas(live)}}
    return (
        UpdateDecision.ROLL_OUT
        if intent_hash(counted) == annotation(live, labels.TEMPLATE_HASH)
        else UpdateDecision.SCALE
    )


def _replicas(obj: Object) -> object:
    return (obj.get("spec") or {}).get("replicas")


def rescaled(live: Object, desired: Object) -> Object:
    """What is meant when nothing but the number of replicas may change: the pods stay as an earlier version built them."""
    meta = {**desired["metadata"], "annotations": {}}
    return {**desired, "metadata": meta, "spec": {**deepcopy(live["spec"]), "replicas": _replicas(desired)}}


def restart_reason(live: Object, desired: Object) -> str | None:
    """Why a Job must be deleted and run again, as half a sentence; None when its run stands.

    A Job that has succeeded is not run again because a node or a secret changed: there is nothing left for them to do; one that has
    failed for good may be waiting for a better secret, but not for a node. One without our hashes was made by another controller;
    hours of training are not repeated on mere suspicion.
    """
    if not annotation(live, WORKSPACE_HASH):
        return None
    if annotation(desired, PUSH_ONLY) and not annotation(live, PUSH_ONLY) and _has_failed(live):
        return "its result is kept, and is pushed without training again"
    succeeded = int((live.get("status") or {}).get("succeeded") or 0) > 0
    if annotation(live, WORKSPACE_HASH) != annotation(desired, WORKSPACE_HASH):
        return "the model, data or training configuration changed"
    if annotation(live, OUTPUT_HASH) != annotation(desired, OUTPUT_HASH):
        return "the output image changed"
    if not succeeded and annotation(live, ACCESS_HASH) != annotation(desired, ACCESS_HASH):
        return "the secrets to pull or push images changed"
    if not succeeded and not _has_failed(live) and pinned_nodes(live) != pinned_nodes(desired):
        return "the node it was bound to was replaced"
    return None


def _has_failed(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(
        entry.get("type") in ("Failed", "FailureTarget") and entry.get("status") == "True" for entry in conditions
    )


def updated(live: Object, desired: Object) -> Object:
    """The object to write with PUT: the meant spec in the live object, keeping what others own in its metadata.

    Of a Service the addresses and node ports that were allocated are kept, because they cannot be taken back. Of a Job the whole spec is
    kept: the API server lets nobody change its pods, and added their selector itself.
    """
    merged = deepcopy(live)
    merged.pop("status", None)
    for key in ("labels", "annotations"):
        merged["metadata"][key] = {**(merged["metadata"].get(key) or {}), **desired["metadata"].get(key, {})}
    merged["metadata"]["ownerReferences"] = deepcopy(desired["metadata"]["ownerReferences"])
    for key in ("spec", "data"):
        if key in desired and desired["kind"] != "Job":
            merged[key] = deepcopy(desired[key])
    if desired["kind"] == "Service":
        _keep_allocations(live.get("spec") or {}, merged["spec"])
    if desired["kind"] in _SERVED_KINDS and is_same_intent(live, desired):
        _keep_annotations(live, merged)  # with another intent, they could be what we ourselves meant before
    return merged


def _keep_annotations(live: Object, merged: Object) -> None:
    """What others wrote on the pod template stays there: `kubectl rollout restart` works by such an annotation."""
    found = (((live.get("spec") or {}).get("template") or {}).get("metadata") or {}).get("annotations")
    if found:
        meta = merged["spec"]["template"].setdefault("metadata", {})
        meta["annotations"] = {**found, **(meta.get("annotations") or {})}


def _keep_allocations(live: Object, spec: Object) -> None:
    for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"):
        if key in live:
            spec.setdefault(key, deepcopy(live[key]))
    if spec["type"] != "LoadBalancer":
        spec.pop("healthCheckNodePort", None)
        return
    allocated = {port.get("name"): port.get("nodePort") for port in live.get("ports") or []}
    for port in spec["ports"]:
        if allocated.get(port["name"]):
            port["nodePort"] = allocated[port["name"]]
