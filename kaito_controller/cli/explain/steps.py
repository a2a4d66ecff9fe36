"""The chain of one Workspace, link by link: Workspace, node object, pool, node, workload, pod, container. Pure.

A link says how it stands, since when, what it waits for, and what the cloud or the kubelet said of it. Links that do not exist yet are
shown too, with the link that they wait for, so that a reader sees the whole way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, is_deleting, name_of
from controller_runtime.untrusted import entries, integer, mapping, moment
from kaito_controller.cli.explain.gathered import Gathered
from kaito_controller.cli.nodeobjects import GPU, NodeObject, read_node_object

MOST = 64
"""Members of a list in an object that are looked at."""


class Mark(Enum):
    """How a link stands."""

    DONE = "ok"
    DOING = ".."
    TROUBLE = "!!"
    LATER = "--"


@dataclass(frozen=True, slots=True)
class Step:
    """One link. `depth` is how far below the Workspace it hangs."""

    mark: Mark
    depth: int
    kind: str
    name: str
    state: str
    since: datetime | None = None
    said: str = ""
    """The words of the cloud, the scheduler or the kubelet."""


def chain(gathered: Gathered) -> tuple[Step, ...]:
    """From the Workspace down to the containers."""
    return (_workspace(gathered), *_nodes(gathered), *_workloads(gathered), *_pods(gathered))


def _workspace(gathered: Gathered) -> Step:
    meta = mapping(gathered.workspace.get("metadata"))
    name = name_of(gathered.workspace)
    if is_deleting(gathered.workspace):
        return Step(Mark.DOING, 0, "Workspace", name, "being deleted", moment(meta.get("deletionTimestamp")))
    return Step(Mark.DONE, 0, "Workspace", name, "accepted", moment(meta.get("creationTimestamp")))


def _nodes(gathered: Gathered) -> Iterator[Step]:
    """Each node object with its pool and its node; then the nodes that nobody ordered."""
    ordered = [read_node_object(obj) for obj in gathered.machines]
    by_name = {name_of(node): node for node in gathered.nodes}
    for machine in ordered:
        yield _machine(machine)
        yield _pool(machine)
        yield _ordered_node(machine, by_name.get(machine.node_name))
    named = {machine.node_name for machine in ordered}
    for name, node in by_name.items():
        if name not in named:
            yield _node(node, 1)
    if not ordered and not by_name:
        yield from _unseen_nodes(gathered)


def _unseen_nodes(gathered: Gathered) -> Iterator[Step]:
    """None was ordered; or there are some, which this user may not see."""
    named = mapping(gathered.workspace.get("status")).get("workerNodes") or []
    hidden = any("machines" in gap or "nodes" in gap for gap in gathered.gaps)
    state = "cannot be read" if hidden else "not ordered yet"
    for name in named if hidden and named else ["-"]:
        yield Step(Mark.LATER, 1, "Node", str(name), state)


def _machine(machine: NodeObject) -> Step:
    blocking = machine.blocking
    if machine.deleting_since:
        said = blocking.message if machine.in_trouble else ""
        return Step(Mark.DOING, 1, machine.kind, machine.name, "being deleted", machine.deleting_since, said)
    if machine.is_ready:
        return Step(Mark.DONE, 1, machine.kind, machine.name, "Ready", machine.conditions["Ready"].since)
    mark = Mark.TROUBLE if machine.in_trouble else Mark.DOING
    state = blocking.reason or ("not launched yet" if machine.conditions else "nobody has taken it up yet")
    since = blocking.since or machine.created
    return Step(mark, 1, machine.kind, machine.name, state, since, blocking.message if machine.in_trouble else "")


def _pool(machine: NodeObject) -> Step:
    """What the cloud makes of a node object: for a Machine the agent pool of its name."""
    kind = "Pool" if machine.kind == "Machine" else "Instance"
    name = machine.name if kind == "Pool" else (machine.provider_id.rpartition("/")[2] or "-")
    launched = machine.conditions.get("Launched")
    if machine.is_launched and launched is not None:
        state = "being deleted" if machine.deleting_since else "made"
        return Step(Mark.DOING if machine.deleting_since else Mark.DONE, 2, kind, name, state, launched.since)
    if machine.in_trouble or launched is None:
        return Step(Mark.LATER, 2, kind, name, f"waits for the {machine.kind}")
    return Step(Mark.DOING, 2, kind, name, "being made", launched.since)


def _ordered_node(machine: NodeObject, node: Object | None) -> Step:
    if node is not None:
        return _node(node, 2)
    if machine.node_name:
        return Step(Mark.LATER, 2, "Node", machine.node_name, "not seen")
    return Step(Mark.LATER, 2, "Node", "-", "waits for the pool" if machine.kind == "Machine" else "has not joined")


def _node(node: Object, depth: int) -> Step:
    status = mapping(node.get("status"))
    ready = get_condition(status.get("conditions"), "Ready") or {}
    since = moment(ready.get("lastTransitionTime"))
    gpus = integer(mapping(status.get("allocatable")).get(GPU), most=1024)
    shown = f"{gpus} GPU{'' if gpus == 1 else 's'}" if gpus else "no GPU shown"
    if ready.get("status") != "True":
        told = str(ready.get("message") or "")
        return Step(Mark.TROUBLE, depth, "Node", name_of(node), "not Ready", since, told)
    cordoned = ", cordoned" if mapping(node.get("spec")).get("unschedulable") else ""
    mark = Mark.DOING if not gpus or cordoned else Mark.DONE
    return Step(mark, depth, "Node", name_of(node), f"Ready, {shown}{cordoned}", since)


def _workloads(gathered: Gathered) -> Iterator[Step]:
    if not gathered.workloads:
        kind = "Job" if gathered.workspace.get("tuning") else "Deployment"
        if is_deleting(gathered.workspace):
            yield Step(Mark.DONE, 1, kind, name_of(gathered.workspace), "gone")
        else:
            yield Step(Mark.LATER, 1, kind, name_of(gathered.workspace), "waits for the nodes")
    for workload in gathered.workloads:
        yield _job(workload) if workload.get("kind") == "Job" else _replicas(workload)


def _replicas(workload: Object) -> Step:
    wanted = integer(mapping(workload.get("spec")).get("replicas"), most=10_000)
    status = mapping(workload.get("status"))
    ready = integer(status.get("readyReplicas"), most=10_000)
    created = moment(mapping(workload.get("metadata")).get("creationTimestamp"))
    refused = get_condition(status.get("conditions"), "ReplicaFailure") or {}
    kind, name = str(workload.get("kind")), name_of(workload)
    if is_deleting(workload):
        return Step(Mark.DOING, 1, kind, name, "being deleted", created)
    if refused.get("status") == "True":
        since = moment(refused.get("lastTransitionTime"))
        return Step(Mark.TROUBLE, 1, kind, name, "its pods are refused", since, str(refused.get("message") or ""))
    return Step(Mark.DONE if ready >= wanted else Mark.DOING, 1, kind, name, f"{ready} of {wanted} ready", created)


def _job(job: Object) -> Step:
    status = mapping(job.get("status"))
    for kind, mark, state in (("Failed", Mark.TROUBLE, "failed"), ("Complete", Mark.DONE, "succeeded")):
        shown = get_condition(status.get("conditions"), kind) or {}
        if shown.get("status") == "True":
            said = str(shown.get("message") or "") if mark is Mark.TROUBLE else ""
            return Step(mark, 1, "Job", name_of(job), state, moment(shown.get("lastTransitionTime")), said)
    failed = integer(status.get("failed"), most=1_000)
    state = f"running, {failed} failed before" if failed else "running"
    return Step(Mark.DOING, 1, "Job", name_of(job), state, moment(status.get("startTime")))


def _pods(gathered: Gathered) -> Iterator[Step]:
    alive = [pod for pod in gathered.pods if not is_deleting(pod)]
    for pod in alive or gathered.pods:
        containers = list(_containers(pod))
        is_told = any(step.said for step in containers)
        yield _pod(pod, "" if is_told else _warned(gathered, name_of(pod)))
        yield from containers
    if not gathered.pods and gathered.workloads and not is_deleting(gathered.workspace):
        kind = gathered.workloads[0].get("kind")
        yield Step(Mark.LATER, 2, "Pod", "-", f"waits for the {kind}")


def _pod(pod: Object, warned: str) -> Step:
    status = mapping(pod.get("status"))
    created = moment(mapping(pod.get("metadata")).get("creationTimestamp"))
    scheduled = get_condition(status.get("conditions"), "PodScheduled") or {}
    ready = get_condition(status.get("conditions"), "Ready") or {}
    name, phase = name_of(pod), str(status.get("phase") or "Pending")
    if is_deleting(pod):
        return Step(Mark.DOING, 2, "Pod", name, "being deleted", created)
    if scheduled.get("status") == "False":
        since, said = moment(scheduled.get("lastTransitionTime")), str(scheduled.get("message") or "")
        return Step(Mark.TROUBLE, 2, "Pod", name, "cannot be scheduled", since, said)
    if phase == "Failed":
        return Step(Mark.TROUBLE, 2, "Pod", name, phase, created, str(status.get("message") or ""))
    done = ready.get("status") == "True" or phase == "Succeeded"
    state = "Ready" if ready.get("status") == "True" else phase
    said = "" if done else warned
    return Step(Mark.DONE if done else Mark.DOING, 2, "Pod", name, state, moment(status.get("startTime")), said)


def _warned(gathered: Gathered, pod: str) -> str:
    """The newest warning about a pod, such as a volume that cannot be mounted."""
    notes = [e for e in gathered.warnings if mapping(e.get("regarding")).get("name") == pod and e.get("note")]
    newest = max(notes, key=lambda e: str(e.get("eventTime") or e.get("deprecatedLastTimestamp") or ""), default={})
    return f"{newest.get('reason')}: {newest.get('note')}" if newest else ""


def _containers(pod: Object) -> Iterator[Step]:
    status = mapping(pod.get("status"))
    for part, is_init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for container in entries(status.get(part), MOST):
            yield _container(container, is_init)


def _container(container: Mapping[str, Any], is_init: bool) -> Step:
    state = mapping(container.get("state"))
    running, waiting, ended = (mapping(state.get(key)) for key in ("running", "waiting", "terminated"))
    kind, name = "Step" if is_init else "Container", str(container.get("name"))
    if running:
        ready = bool(container.get("ready"))
        shown = "Ready" if ready else ("running" if is_init else "running, not ready yet")
        return Step(Mark.DONE if ready else Mark.DOING, 3, kind, name, shown, moment(running.get("startedAt")))
    if ended:
        return _ended(kind, name, ended)
    before = mapping(mapping(container.get("lastState")).get("terminated"))
    reason = str(waiting.get("reason") or "")
    if before.get("exitCode"):
        told = _ended(kind, name, before)
        again = f"{told.state}, {reason or 'starts again'}"
        return Step(Mark.TROUBLE, 3, kind, name, again, told.since, told.said)
    if reason in ("", "PodInitializing", "ContainerCreating"):
        later = reason == "PodInitializing"
        return Step(Mark.LATER if later else Mark.DOING, 3, kind, name, "waits for its turn" if later else "starting")
    return Step(Mark.TROUBLE, 3, kind, name, reason, None, str(waiting.get("message") or ""))


def _ended(kind: str, name: str, ended: Mapping[str, Any]) -> Step:
    code, why = integer(ended.get("exitCode"), most=255), str(ended.get("reason") or "")
    at = moment(ended.get("finishedAt"))
    if not code:
        return Step(Mark.DONE, 3, kind, name, "done", at)
    shown = why if why and why != "Error" else f"exit code {code}"
    return Step(Mark.TROUBLE, 3, kind, name, shown, at, str(ended.get("message") or ""))
