"""Which pods have to leave a Node before it may go. Pure, over raw pods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpu_provisioner.machine.snapshot import PodView

_CRITICAL = ("system-cluster-critical", "system-node-critical")
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_DEFAULT_GRACE_S = 30.0


def must_leave(pod: Mapping[str, Any], ages: Mapping[str, float], stuck_s: float) -> bool:
    """Whether the drain waits for this pod.

    Not for finished pods, static pods, DaemonSet pods and others that tolerate a cordoned Node, nor for pods that have been leaving for
    `stuck_s` longer than their grace period, because then no kubelet is there to end them. `ages` holds how long each leaving pod
    has been seen to leave, under `pod:<uid>`.
    """
    meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    owners = {reference.get("kind") for reference in meta.get("ownerReferences") or ()}
    if owners & {"Node", "DaemonSet"} or _tolerates_cordon(spec):
        return False
    return ages.get(f"pod:{meta.get('uid')}", 0.0) <= _grace_s(meta, spec) + stuck_s


def pod_view(pod: Mapping[str, Any]) -> PodView:
    """Read a stored pod."""
    meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    return PodView(
        namespace=str(meta.get("namespace") or ""),
        name=str(meta.get("name") or ""),
        uid=str(meta.get("uid") or ""),
        critical=spec.get("priorityClassName") in _CRITICAL,
        leaving=bool(meta.get("deletionTimestamp")),
    )


def _tolerates_cordon(spec: Mapping[str, Any]) -> bool:
    for toleration in spec.get("tolerations") or ():
        if toleration.get("effect") not in (None, "", "NoSchedule"):
            continue
        if toleration.get("key") == _UNSCHEDULABLE or (
            not toleration.get("key") and toleration.get("operator") == "Exists"
        ):
            return True
    return False


def _grace_s(meta: Mapping[str, Any], spec: Mapping[str, Any]) -> float:
    for value in (meta.get("deletionGracePeriodSeconds"), spec.get("terminationGracePeriodSeconds")):
        if isinstance(value, int | float):
            return float(value)
    return _DEFAULT_GRACE_S
