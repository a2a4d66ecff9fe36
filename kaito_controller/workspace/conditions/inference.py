"""How the model runs: the verdict behind `InferenceReady`. Pure.

Readiness is what the Deployment or StatefulSet counts for the generation it was asked for; when it is missing, the cause is read from
the pods. A workload that does not become ready within the model's time limit and a grace period after it has failed for good: the
nodes are given back, since nobody should pay for GPUs that crash in a loop.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from controller_runtime.clock import rfc3339
from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, name_of
from controller_runtime.untrusted import EARLIEST, integer, later, moment
from kaito_controller.api import reasons
from kaito_controller.api.conditions import INFERENCE_READY
from kaito_controller.api.reasons import Kind
from kaito_controller.workspace.conditions.pod_diagnosis import workload_cause
from kaito_controller.workspace.state.snapshot import Snapshot, Verdict


def inference_verdict(snapshot: Snapshot, workload: Object | None, *, settled: bool, nodes: Verdict) -> Verdict:
    """How serving stands. `settled`: the workload is what is wanted now, as far as it may be; `nodes`: how the nodes stand.

    A replica on a node that is gone is counted as ready until its pod is collected, a minute later; nothing answers there any more.
    """
    if workload is not None and settled and is_serving(workload) and not snapshot.lost_nodes:
        total = wanted_replicas(workload)
        return Verdict(reasons.INFERENCE_SERVING, f"{total} of {total} replicas answer their health check.")
    if nodes.reason.kind is not Kind.GOOD:
        return nodes
    if snapshot.refusal is not None and not snapshot.refusal.machine:
        kind = reasons.NAME_TAKEN if snapshot.refusal.taken else reasons.WORKLOAD_REFUSED
        return Verdict(kind, snapshot.refusal.message)
    if workload is None:
        return Verdict(reasons.WORKLOAD_PENDING, f"The workload {snapshot.name} is being created on the chosen nodes.")
    if not settled:
        return Verdict(
            reasons.ROLLING_OUT, f"{workload['kind']} {name_of(workload)} is being changed to what is asked for now."
        )
    return _unready(snapshot, workload)


def is_serving(workload: Object) -> bool:
    """All replicas are ready, updated, and counted for the generation that was asked for."""
    wanted = wanted_replicas(workload)
    status = workload.get("status") or {}
    seen = _count(status.get("observedGeneration")) >= _count(workload["metadata"].get("generation"))
    ready, updated = _count(status.get("readyReplicas")), _count(status.get("updatedReplicas"))
    return seen and ready >= wanted and updated >= wanted


def wanted_replicas(workload: Object) -> int:
    """`spec.replicas`, 1 when it is not given."""
    return _count((workload.get("spec") or {}).get("replicas")) or 1


def _count(value: object) -> int:
    return integer(value, most=2**63)


def failure_deadline(snapshot: Snapshot, workload: Object) -> datetime:
    """When a workload that is not ready has failed for good."""
    created = moment(workload["metadata"].get("creationTimestamp")) or EARLIEST
    grace_s = snapshot.readiness_timeout_s + snapshot.limits.failed_workload_grace_s
    return later(max(created, _not_ready_since(snapshot)), grace_s)


def _unready(snapshot: Snapshot, workload: Object) -> Verdict:
    gives_up = failure_deadline(snapshot, workload)
    cause = workload_cause(snapshot, workload)
    if cause is not None and cause.reason.kind is Kind.TROUBLE:
        return Verdict(
            cause.reason, f"{cause.message} The nodes are given back at {rfc3339(gives_up)} if it lasts.", gives_up
        )
    ready_by = gives_up - timedelta(seconds=snapshot.limits.failed_workload_grace_s)
    if snapshot.now >= ready_by:
        return _late(snapshot, workload, gives_up)
    if cause is not None:
        return Verdict(cause.reason, f"{cause.message} It has until {rfc3339(ready_by)}.", ready_by)
    running = [pod for pod in snapshot.pods if (pod.get("status") or {}).get("phase") == "Running"]
    if running:
        text = f"Pod {name_of(running[0])} runs and the model is loading; it has until {rfc3339(ready_by)}."
        return Verdict(reasons.MODEL_LOADING, text, ready_by)
    text = f"Waiting for the pods of {workload['kind']} {name_of(workload)}, which have until {rfc3339(ready_by)}."
    return Verdict(reasons.WORKLOAD_PENDING, text, ready_by)


def _late(snapshot: Snapshot, workload: Object, gives_up: datetime) -> Verdict:
    pod = next((name_of(pod) for pod in snapshot.pods), "")
    look = (
        f"kubectl logs -n {snapshot.namespace} {pod}"
        if pod
        else f"kubectl describe -n {snapshot.namespace} {workload['kind']}/{name_of(workload)}"
    )
    return Verdict(
        reasons.READINESS_TIMED_OUT,
        f"{workload['kind']} {name_of(workload)} did not become ready within {snapshot.readiness_timeout_s:.0f} s. Look: {look}. "
        f"The nodes are given back at {rfc3339(gives_up)} if it lasts.",
        gives_up,
    )


def _not_ready_since(snapshot: Snapshot) -> datetime:
    """When InferenceReady was last lost: now, if the status still says True; the beginning, if it never did."""
    condition = get_condition((snapshot.raw.get("status") or {}).get("conditions"), INFERENCE_READY) or {}
    if condition.get("status") == "True":
        return snapshot.now.replace(microsecond=0)
    born = moment(snapshot.raw["metadata"].get("creationTimestamp"))
    return moment(condition.get("lastTransitionTime")) or born or snapshot.now
