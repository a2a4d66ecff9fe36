"""What there is of one Workspace in a cluster, read once: itself, its Machines, nodes, workload, pods, and what the kubelet warned of.

Only ordinary rights are needed; what may not be read is a sentence in `gaps`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from controller_runtime.clock import Clock, parse_rfc3339, rfc3339
from controller_runtime.resources import (
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    NODES,
    PODS,
    STATEFUL_SETS,
    Object,
    name_of,
)
from controller_runtime.untrusted import mapping
from kaito_controller.api.labels import WORKSPACE, WORKSPACE_NAMESPACE, WORKSPACES
from kaito_controller.cli import nodeobjects
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.progress import read_progress

MOST_NODES = 16
"""Nodes that are asked for one by one; a page could not show more."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One look. Lists are in the order of creation."""

    now: datetime
    workspace: Object
    machines: tuple[Object, ...] = ()
    """Machines and NodeClaims."""
    nodes: tuple[Object, ...] = ()
    workloads: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    warnings: tuple[Object, ...] = ()
    """Events of type Warning about the pods."""
    progress: dict[str, Any] = field(default_factory=dict)
    """How far a download or a training run is, by its own word; see `progress.py`."""
    gaps: tuple[str, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {**asdict(self), "now": rfc3339(self.now)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Gathered:
        """The inverse of `to_document`."""
        lists = {k: tuple(v) for k, v in document.items() if isinstance(v, list)}
        progress = document.get("progress") or {}
        return cls(now=parse_rfc3339(document["now"]), workspace=document["workspace"], progress=progress, **lists)


def gather(cluster: Cluster, name: str, clock: Clock) -> Gathered:
    """Reads all of it. A Workspace that is not there ends the command."""
    workspace = cluster.required(WORKSPACES, name)
    namespace = cluster.namespace
    of_workspace = f"{WORKSPACE}={name}"
    placed = f"{of_workspace},{WORKSPACE_NAMESPACE}={namespace}"
    machines = [m for kind in nodeobjects.KINDS for m in cluster.all(kind, labels=placed)]
    pods = cluster.all(PODS, namespace, labels=of_workspace)
    found = (cluster.optional(kind, name, namespace) for kind in (DEPLOYMENTS, STATEFUL_SETS, JOBS))
    names = _node_names(workspace, machines, pods)
    nodes = (cluster.optional(NODES, node) for node in names[:MOST_NODES])
    return Gathered(
        now=clock.now(),
        workspace=workspace,
        machines=_oldest_first(machines),
        nodes=tuple(node for node in nodes if node),
        workloads=tuple(workload for workload in found if workload),
        pods=_oldest_first(pods),
        warnings=_warnings(cluster, pods),
        progress=read_progress(cluster, pods),
        gaps=tuple(cluster.gaps),
    )


def _node_names(workspace: Object, machines: list[Object], pods: list[Object]) -> list[str]:
    """Without repetition, in the order of the chain."""
    named = [mapping(m.get("status")).get("nodeName") for m in machines]
    named += mapping(workspace.get("status")).get("workerNodes") or []
    named += [mapping(p.get("spec")).get("nodeName") for p in pods]
    return list(dict.fromkeys(str(name) for name in named if name))


def _warnings(cluster: Cluster, pods: list[Object]) -> tuple[Object, ...]:
    """Of the pods that do not run yet: what holds them up is often said nowhere else (a volume that cannot be mounted)."""
    waiting = [p for p in pods if mapping(p.get("status")).get("phase") == "Pending"]
    found = []
    for pod in waiting[:2]:
        about = f"regarding.kind=Pod,regarding.name={name_of(pod)},type=Warning"
        found += cluster.all(EVENTS, cluster.namespace, fields=about)
    return tuple(found)


def _oldest_first(objects: list[Object]) -> tuple[Object, ...]:
    return tuple(sorted(objects, key=lambda o: (str(mapping(o.get("metadata")).get("creationTimestamp")), name_of(o))))
