"""Why a pod does not run, in the words a person needs: which container, which exit code, what it said last. Pure.

Reads only what the scheduler and the kubelet wrote into the Pod, so that no Events have to be watched; a pod that could not be made is
told by its workload. A cause is trouble (somebody
must act) or waiting; of several, the one that needs a person is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, is_deleting, name_of
from kaito_controller.api import reasons
from kaito_controller.api.reasons import Severity
from kaito_controller.workloads import is_bound_to_ordered, pinned_nodes
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import Snapshot, Verdict

Status = Mapping[str, Any]

PULL_FAILURES = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
CONFIG_FAILURES = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
QUOTE = 300
"""Characters that are quoted of another program's message."""

_ALL_NODES = re.compile(r"^\d+/\d+ nodes are available: ")
_OTHER_NODES = re.compile(r"\d+ node\(s\) didn't match Pod's node affinity/selector")


def workload_cause(snapshot: Snapshot, workload: Object) -> Verdict | None:
    """Why the pods of a workload do not run, or cannot even be made; of several causes, the one that needs a person."""
    cause = pods_cause(snapshot.pods, _vacant(snapshot))
    if cause is not None and cause.reason is reasons.POD_UNSCHEDULABLE:
        return replace(cause, message=cause.message + _cordoned(snapshot, workload))
    if cause is not None and cause.reason.severity is Severity.TROUBLE:
        return cause
    return _refused_pods(snapshot, workload) or _unmounted(snapshot) or cause


def _vacant(snapshot: Snapshot) -> tuple[str, ...]:
    """Ordered nodes on which no pod of the Workspace is."""
    key = f"{snapshot.namespace}/{snapshot.name}"
    return tuple(
        sorted(n.name for n in snapshot.nodes.values() if n.owner == key and n.name not in snapshot.busy_nodes)
    )


def pods_cause(pods: Iterable[Object], vacant: tuple[str, ...] = ()) -> Verdict | None:
    """The cause of the first troubled pod, else of the first waiting one, else None. Pods on their way out do not count.

    `vacant`: ordered nodes that a pod could be on which is bound to no node by name.
    """
    found = [cause for pod in pods if not is_deleting(pod) for cause in (pod_cause(pod, vacant),) if cause is not None]
    troubled = [cause for cause in found if cause.reason.severity is Severity.TROUBLE]
    return next(iter(troubled or found), None)


def pod_cause(pod: Object, vacant: tuple[str, ...] = ()) -> Verdict | None:
    """Why this pod is not running all its containers; None when it is, or when nothing is known yet."""
    status = pod.get("status") or {}
    unscheduled = _unscheduled(pod, status, vacant)
    if unscheduled is not None:
        return unscheduled
    for container in _containers(status):
        cause = _container_cause(pod, container)
        if cause is not None:
            return cause
    return None


def _refused_pods(snapshot: Snapshot, workload: Object) -> Verdict | None:
    """A Deployment says so in its status; for the others the Snapshot has the words of an Event."""
    failed = get_condition((workload.get("status") or {}).get("conditions"), "ReplicaFailure") or {}
    said = snapshot.pods_refused
    if failed.get("status") == "True":
        said = str(failed.get("message") or failed.get("reason") or "no reason given")
    if not said:
        return None
    told = shorten(said, QUOTE).rstrip(".")
    return Verdict(reasons.WORKLOAD_REFUSED, f"The pods of {workload['kind']} {name_of(workload)} are refused: {told}.")


def _unmounted(snapshot: Snapshot) -> Verdict | None:
    """A kubelet tells of volumes in Events only, and starts no container meanwhile."""
    if not snapshot.unmounted:
        return None
    return Verdict(reasons.CONTAINER_CONFIG_INVALID, f"{shorten(snapshot.unmounted, QUOTE).rstrip('.')}.")


def last_failure(pods: Iterable[Object]) -> str:
    """The last container that ended badly in any of these pods, "" when none did."""
    for pod in pods:
        for container in _containers(pod.get("status") or {}):
            ended = (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get(
                "terminated"
            )
            if ended and ended.get("exitCode"):
                return f'container "{container.get("name")}" of pod {name_of(pod)} {_end(ended)}'
    return ""


def _unscheduled(pod: Object, status: Status, vacant: tuple[str, ...]) -> Verdict | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            said = shorten(_about_its_nodes(str(condition.get("message") or condition.get("reason") or "")), QUOTE)
            bound = {"spec": {"template": {"spec": pod.get("spec")}}}
            nodes = ", ".join((*pinned_nodes(bound), *(vacant if is_bound_to_ordered(bound) else ())))
            where = f" on {nodes}" if nodes else ""
            text = f"Pod {name_of(pod)} cannot be scheduled{where}{_since(condition)}: {said.rstrip('.')}."
            return Verdict(reasons.POD_UNSCHEDULABLE, text)
    return None


def _about_its_nodes(said: str) -> str:
    """The scheduler's sentence without what it says of all the other nodes and of preemption, which bury the cause."""
    told, _, _ = said.partition(" preemption:")
    told = _ALL_NODES.sub("", told, count=1)
    clauses = [clause for clause in told.rstrip(". ").split(", ") if not _OTHER_NODES.search(clause)]
    return ", ".join(clauses) or said


def _cordoned(snapshot: Snapshot, workload: Object) -> str:
    known = (*pinned_nodes(workload), *(_vacant(snapshot) if is_bound_to_ordered(workload) else ()))
    names = [name for name in known if name in snapshot.nodes and snapshot.nodes[name].unschedulable]
    return "".join(f" Node {name} is cordoned: kubectl uncordon {name}." for name in names)


def _containers(status: Status) -> list[Status]:
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_cause(pod: Object, container: Status) -> Verdict | None:
    waiting = (container.get("state") or {}).get("waiting")
    ended = (container.get("state") or {}).get("terminated")
    if ended and ended.get("exitCode"):
        return _crash(pod, container, ended)
    if not waiting:
        return None
    reason = str(waiting.get("reason") or "")
    said = shorten(str(waiting.get("message") or reason), QUOTE)
    where = f'container "{container.get("name")}" of pod {name_of(pod)}'
    if reason in PULL_FAILURES:
        told = (
            f'Image "{container.get("image")}" for {where} cannot be pulled: {said.rstrip(".")}. {_pull_secrets(pod)}'
        )
        return Verdict(reasons.IMAGE_PULL_FAILED, told)
    if reason in CONFIG_FAILURES:
        return Verdict(reasons.CONTAINER_CONFIG_INVALID, f"{where[0].upper()}{where[1:]} cannot be set up: {said}")
    before = (container.get("lastState") or {}).get("terminated")
    if before:
        return _crash(pod, container, before)
    if reason == "PodInitializing":
        return None
    return Verdict(reasons.POD_STARTING, f"Waiting for {where}: its image is pulled and its volumes are mounted.")


def _pull_secrets(pod: Object) -> str:
    named = [str(entry.get("name")) for entry in (pod.get("spec") or {}).get("imagePullSecrets") or []]
    return f"Its pull secrets: {', '.join(named)}." if named else "It names no pull secret."


def _crash(pod: Object, container: Status, ended: Status) -> Verdict:
    where = f'Container "{container.get("name")}" of pod {name_of(pod)}'
    if ended.get("reason") == "OOMKilled":
        return Verdict(
            reasons.OUT_OF_MEMORY, f"{where} was killed for lack of memory (exit code {ended.get('exitCode')})."
        )
    # The run that ended is the container's former one only once the kubelet has put another in its place.
    former = "" if (container.get("state") or {}).get("terminated") else "--previous "
    look = f"kubectl logs {former}-n {pod['metadata'].get('namespace')} {name_of(pod)} -c {container.get('name')}"
    return Verdict(reasons.CONTAINER_CRASHING, f"{where} {_end(ended)} ({look}).")


def _end(ended: Status) -> str:
    why = f" ({ended['reason']})" if ended.get("reason") and ended["reason"] != "Error" else ""
    words = shorten(str(ended.get("message") or ""), QUOTE)
    return f"ended with exit code {ended.get('exitCode')}{why}" + (f", last words: {words}" if words else "")


def _since(condition: Status) -> str:
    return f" since {condition['lastTransitionTime']}" if condition.get("lastTransitionTime") else ""
