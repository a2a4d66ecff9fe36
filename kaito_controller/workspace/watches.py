"""Which change wakes which Workspace: mappers and predicates between the informers and the controller.

Every object below a Workspace wakes it: Machines and Nodes by their labels or by who names them, workloads by their owner, pods by their
label, ConfigMaps by the name that it reads. Nodes report every few seconds; only changes that could change a decision pass.
"""

from __future__ import annotations

from collections.abc import Iterable

from controller_runtime.conditions import get_condition
from controller_runtime.controller.controller import Change, Request
from controller_runtime.resources import Object, annotations_of, is_deleting, labels_of, name_of, namespace_of
from kaito_controller.api import labels, reasons
from kaito_controller.api.conditions import MACHINE_READY
from kaito_controller.workspace.observe.caches import (
    ANY_TYPE,
    BY_CONFIG,
    BY_NODE,
    WANTING,
    Caches,
    instance_type_of,
    read_claim,
)
from kaito_controller.workspace.observe.nodes import GPU
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.caps import MAX_GPUS, MAX_NODES, MAX_USD_PER_HOUR
from kaito_controller.workspace.state.eviction import notice_on
from kaito_controller.workspace.state.machines import owner_key


def for_machine(machine: Object) -> Iterable[Request]:
    """The Workspace that a Machine is labelled for."""
    key = owner_key(machine)
    return (Request.from_key(key),) if key else ()


def for_pod(pod: Object) -> Iterable[Request]:
    """The Workspace that a pod is labelled for."""
    name = labels_of(pod).get(labels.WORKSPACE)
    return (Request(namespace_of(pod), name),) if name else ()


def is_gone(change: Change) -> bool:
    """The object is there no more, which makes room."""
    return change.new is None


def caps_changed(change: Change) -> bool:
    """Another limit may hold in this Namespace."""
    before, after = (annotations_of(obj) if obj else {} for obj in (change.old, change.new))
    return any(before.get(key) != after.get(key) for key in (MAX_NODES, MAX_GPUS, MAX_USD_PER_HOUR))


def held_for_quota(workspaces: Iterable[Object]) -> Iterable[Request]:
    """Those that say that the quota is short, whenever another offer is published."""
    for workspace in workspaces:
        shown = get_condition((workspace.get("status") or {}).get("conditions"), MACHINE_READY) or {}
        if shown.get("reason") == reasons.QUOTA_SHORT.name:
            yield Request.for_object(workspace)


def node_matters(change: Change) -> bool:
    """Drops heartbeats."""
    if change.old is None or change.new is None:
        return True
    return _facts(change.old) != _facts(change.new)


def _facts(node: Object) -> tuple[object, ...]:
    status = node.get("status") or {}
    ready = get_condition(status.get("conditions"), "Ready") or {}
    return (
        ready.get("status"),
        ready.get("lastTransitionTime"),
        (status.get("allocatable") or {}).get(GPU),
        bool((node.get("spec") or {}).get("unschedulable")),
        (node.get("spec") or {}).get("taints"),
        notice_on(node),
        labels_of(node),
        annotations_of(node).get(naming.CLAIM),
        is_deleting(node),
    )


class Mappers:
    """The mappers that have to look something up."""

    def __init__(self, caches: Caches, release_namespace: str) -> None:
        self._caches = caches
        self._release_namespace = release_namespace

    def for_node(self, node: Object) -> Iterable[Request]:
        """Whoever owns or claims the node; for a free one, the Workspaces that could use it."""
        found = {Request.from_key(key) for key in (owner_key(node),) if key}
        found |= {r for machine in self._caches.machines.by_index(BY_NODE, name_of(node)) for r in for_machine(machine)}
        claim = read_claim(node)
        if claim is not None:
            found.add(Request(claim.namespace, claim.name))
        wanting = [f"node/{name_of(node)}"]
        if not found:
            wanting += [instance_type_of(node).lower(), ANY_TYPE]
        for value in wanting:
            found |= {Request.for_object(w) for w in self._caches.workspaces.by_index(WANTING, value)}
        return found

    def for_config_map(self, config_map: Object) -> Iterable[Request]:
        """The Workspaces that read a ConfigMap of this name, in its namespace or from the operator's."""
        namespace = namespace_of(config_map)
        readers = self._caches.workspaces.by_index(BY_CONFIG, name_of(config_map))
        everywhere = namespace == self._release_namespace
        return [Request.for_object(w) for w in readers if everywhere or namespace_of(w) == namespace]
