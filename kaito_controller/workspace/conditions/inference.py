"""How the model runs: the verdict behind `InferenceReady`. Pure.

Readiness is what the Deployment or StatefulSet counts for the generation it was asked for; when it is missing, the cause is read from
the pods. A workload that does not become ready within the model's time limit and a grace period after it has failed for good: the
nodes are given back, since nobody should pay for GPUs that crash in a loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from controller_runtime.clock import rfc3339
from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, name_of
from controller_runtime.untrusted import EARLIEST, entries, integer, later, mapping, moment
from kaito_controller.api import reasons
from kaito_controller.api.conditions import INFERENCE_READY, RESOURCE_READY
from kaito_controller.api.labels import ENABLE_LOAD_BALANCER
from kaito_controller.api.reasons import Severity
from kaito_controller.workloads import asks_for_load_balancer
from kaito_controller.workspace.conditions.pod_diagnosis import workload_cause
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import Snapshot, Verdict

MOST_ENTRIES = 64
OURSELVES = "kaito-controller"
"""Field manager of what this controller writes."""


def inference_verdict(
    snapshot: Snapshot, workload: Object | None, *, settled: bool, nodes: Verdict, held: int
) -> Verdict:
    """How serving stands. `settled`: the workload is what is wanted now, as far as it may be; `nodes`: how the nodes stand, of which
    `held` are ours.

    A replica on a node that is gone is counted as ready until its pod is collected, a minute later; nothing answers there any more.
    Nor is one believed to serve on a node that is not ours any more: a status cannot say both that no node is held and that it serves.
    """
    refused = _refused(snapshot)
    if refused is not None and nodes.reason.severity is Severity.GOOD:
        return refused  # of any object of the set: a model that answers is no use when its Service is somebody else's
    answers = workload is not None and settled and is_serving(workload, snapshot.wanted.count)
    if workload is not None and answers and held >= snapshot.wanted.count and not snapshot.lost_nodes:
        return Verdict(reasons.INFERENCE_SERVING, _serving(snapshot, workload))
    if nodes.reason.severity is not Severity.GOOD:
        return _meanwhile(snapshot, workload, nodes)
    if workload is None:
        return Verdict(reasons.WORKLOAD_PENDING, f"The workload {snapshot.name} is being created on the chosen nodes.")
    if not settled:
        return Verdict(
            reasons.ROLLING_OUT, f"{workload['kind']} {name_of(workload)} is being changed to what is asked for now."
        )
    return _unready(snapshot, workload)


def _meanwhile(snapshot: Snapshot, workload: Object | None, nodes: Verdict) -> Verdict:
    """What serves while nodes are missing, as after scaling up, is said before what is missing."""
    if workload is None or snapshot.lost_nodes or not serves_partly(workload):
        return nodes
    ready = sum(1 for name in snapshot.serving_nodes if name in snapshot.nodes and snapshot.nodes[name].ready)
    if not ready:
        return nodes
    told = (
        f"{ready} of {snapshot.wanted.count} replicas serve, and nothing is given back while one does. {nodes.message}"
    )
    return Verdict(nodes.reason, told, nodes.until)


def _refused(snapshot: Snapshot) -> Verdict | None:
    rejection = snapshot.rejection
    if rejection is None or rejection.machine:
        return None
    return Verdict(rejection.reason, rejection.message)


def is_serving(workload: Object, wanted: int) -> bool:
    """As many replicas as the Workspace asks for are ready, updated, and counted for the generation that was asked for.

    Not as many as the object says: somebody may have scaled it, and nobody ordered nodes for the others.
    """
    status = workload.get("status") or {}
    seen = _count(status.get("observedGeneration")) >= _count(workload["metadata"].get("generation"))
    ready, updated = _count(status.get("readyReplicas")), _count(status.get("updatedReplicas"))
    return seen and ready >= wanted and updated >= wanted


def serves_partly(workload: Object) -> bool:
    """At least one replica answers. Those of a Deployment are independent; the ranks of a StatefulSet serve together or not at all."""
    return workload["kind"] == "Deployment" and _ready(workload) > 0


def _ready(workload: Object) -> int:
    return _count((workload.get("status") or {}).get("readyReplicas"))


def scaled_by(snapshot: Snapshot, workload: Object) -> str:
    """A sentence about who set another number of replicas than the Workspace's, "" when nobody did."""
    wanted, replicas = snapshot.wanted.count, _count((workload.get("spec") or {}).get("replicas"))
    if replicas == wanted or snapshot.scaled_by == OURSELVES:
        return ""
    who = f" by {shorten(snapshot.scaled_by, 60)}" if snapshot.scaled_by else ""
    return (
        f" {workload['kind']} {name_of(workload)} was scaled to {replicas}{who}, while the Workspace asks for {wanted}, one on "
        f"each of its nodes: stop what scales it, and scale the Workspace instead:{_how(workload, replicas)}"
    )


def _how(workload: Object, replicas: int) -> str:
    meta = workload["metadata"]
    return f" kubectl scale workspace -n {meta.get('namespace')} {name_of(workload)} --replicas={max(replicas, 1)}"


def _serving(snapshot: Snapshot, workload: Object) -> str:
    total = snapshot.wanted.count
    does = "answer their health check" if _has_probe(workload) else "run (the template has no readiness probe)"
    told = f"{total} of {total} replicas {does}.{scaled_by(snapshot, workload)}"
    if asks_for_load_balancer(snapshot.context) and not snapshot.context.load_balancer:
        told += f" The annotation {ENABLE_LOAD_BALANCER} has no effect in this namespace (--load-balancer-namespaces of the operator)."
    return told


def _has_probe(workload: Object) -> bool:
    containers = _maps(mapping(mapping(mapping(workload.get("spec")).get("template")).get("spec")).get("containers"))
    return any(container.get("readinessProbe") for container in containers)


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [mapping(entry) for entry in entries(value, MOST_ENTRIES)]


def _count(value: object) -> int:
    return integer(value, most=2**63)


def failure_deadline(snapshot: Snapshot, workload: Object) -> datetime:
    """When a workload that is not ready has failed for good."""
    created = moment(workload["metadata"].get("creationTimestamp")) or EARLIEST
    grace_s = snapshot.readiness_timeout_s + snapshot.limits.failed_workload_grace_s
    since = max(created, _not_ready_since(snapshot))
    return later(snapshot.counted(since, str(workload["kind"]), "Pod") or snapshot.now, grace_s)


STANDSTILLS = (
    *(reasons.WORKLOAD_REFUSED, reasons.NAME_TAKEN, reasons.NAME_BEING_FREED),
    *(reasons.CONTAINER_CONFIG_INVALID, reasons.IMAGE_PULL_FAILED, reasons.POD_UNSCHEDULABLE),
)
"""Nothing runs and nothing fails, so that no count of attempts ever ends it: somebody has to act."""


def until_given_back(snapshot: Snapshot, verdict: Verdict, shown_as: str) -> Verdict:
    """The verdict; of a standstill also until when the nodes are held for it, counted from when they were ready and nothing ran.

    `shown_as`: the condition that turns when the workload runs.
    """
    if verdict.reason not in STANDSTILLS:
        return verdict
    conditions = (snapshot.raw.get("status") or {}).get("conditions")
    nodes = get_condition(conditions, RESOURCE_READY) or {}
    ready = moment(nodes.get("lastTransitionTime")) if nodes.get("status") == "True" else None
    since = max(ready or snapshot.now, _not_ready_since(snapshot, shown_as))
    until = later(since, snapshot.limits.failed_workload_grace_s)
    told = verdict.message.rstrip(".")
    return Verdict(verdict.reason, f"{told}. The nodes are given back at {rfc3339(until)} if this persists.", until)


def _unready(snapshot: Snapshot, workload: Object) -> Verdict:
    gives_up = failure_deadline(snapshot, workload)
    cause = workload_cause(snapshot, workload)
    if serves_partly(workload) and _ready(workload) < snapshot.wanted.count:
        return _partly(snapshot, workload, cause)
    if cause is not None and cause.reason.severity is Severity.TROUBLE:
        return Verdict(
            cause.reason, f"{cause.message} The nodes are given back at {rfc3339(gives_up)} if this persists.", gives_up
        )
    ready_by = gives_up - timedelta(seconds=snapshot.limits.failed_workload_grace_s)
    if snapshot.now >= ready_by:
        told = f"{_late(snapshot, workload)} The nodes are given back at {rfc3339(gives_up)} if this persists."
        return Verdict(reasons.READINESS_TIMED_OUT, told, gives_up)
    if cause is not None:
        return Verdict(cause.reason, f"{cause.message} It has until {rfc3339(ready_by)}.", ready_by)
    running = [pod for pod in snapshot.pods if (pod.get("status") or {}).get("phase") == "Running"]
    if running:
        text = f"Pod {name_of(running[0])} runs and the model is loading; it has until {rfc3339(ready_by)}."
        return Verdict(reasons.MODEL_LOADING, text, ready_by)
    text = f"Waiting for the pods of {workload['kind']} {name_of(workload)}, which have until {rfc3339(ready_by)}."
    return Verdict(reasons.WORKLOAD_PENDING, text, ready_by)


def _partly(snapshot: Snapshot, workload: Object, cause: Verdict | None) -> Verdict:
    """Nothing of it is given back: what serves is in use."""
    total = snapshot.wanted.count
    why = f" {cause.message}" if cause is not None else ""
    told = f"{_ready(workload)} of {total} replicas serve, and nothing is given back while one does.{why}{scaled_by(snapshot, workload)}"
    return Verdict(cause.reason if cause is not None else reasons.MODEL_LOADING, told)


def failure(snapshot: Snapshot, workload: Object) -> Verdict:
    """Why a workload is given up, without a deadline, which has passed by then."""
    cause = workload_cause(snapshot, workload)
    if cause is not None and cause.reason.severity is Severity.TROUBLE:
        return cause
    return Verdict(reasons.READINESS_TIMED_OUT, _late(snapshot, workload))


def _late(snapshot: Snapshot, workload: Object) -> str:
    pod = next((name_of(pod) for pod in snapshot.pods), "")
    look = (
        f"kubectl logs -n {snapshot.namespace} {pod}"
        if pod
        else f"kubectl describe -n {snapshot.namespace} {workload['kind']}/{name_of(workload)}"
    )
    return f"{workload['kind']} {name_of(workload)} did not become ready within {snapshot.readiness_timeout_s:.0f} s. See: {look}."


def _not_ready_since(snapshot: Snapshot, shown_as: str = INFERENCE_READY) -> datetime:
    """When the condition was last lost: now, if the status still says True; the beginning, if it never did."""
    condition = get_condition((snapshot.raw.get("status") or {}).get("conditions"), shown_as) or {}
    if condition.get("status") == "True":
        return snapshot.now.replace(microsecond=0)
    born = moment(snapshot.raw["metadata"].get("creationTimestamp"))
    return moment(condition.get("lastTransitionTime")) or born or snapshot.now
