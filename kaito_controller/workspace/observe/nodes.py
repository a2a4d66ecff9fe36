"""The Nodes that matter to one Workspace, each read once into a view.

Found by name and by index, never by a scan; of the nodes that others hold only a few are looked at, to be able to say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from controller_runtime.conditions import get_condition, is_true
from controller_runtime.resources import Object, is_deleting, labels_of, name_of, uid_of
from controller_runtime.untrusted import integer, moment
from kaito_controller.api.conditions import RESOURCE_READY
from kaito_controller.catalog.model import Catalog
from kaito_controller.workspace.decide.preflight import ResolvedWorkspace
from kaito_controller.workspace.observe.caches import BY_NODE, CLAIMED_BY, FREE, HELD, Caches, read_claim, type_key
from kaito_controller.workspace.state.eviction import notice_on
from kaito_controller.workspace.state.machines import owner_key
from kaito_controller.workspace.state.snapshot import MachineView, NodeView

GPU = "nvidia.com/gpu"
MOST_GPUS = 1024
EXPLAINED = 10
"""Nodes that others hold and that are looked at to say so; more than a message names."""


class Nodes:
    """Reads them from the caches. Remembers nothing."""

    def __init__(self, caches: Caches, catalog: Callable[[], Catalog]) -> None:
        self._caches = caches
        self._catalog = catalog

    def of(self, raw: Object, request: ResolvedWorkspace, machines: tuple[MachineView, ...]) -> dict[str, NodeView]:
        """Those of its Machines, those it prefers or has claimed, free ones that may do, and of those that others hold a few to say so."""
        cache = self._caches.nodes
        named = {m.node_name for m in machines if m.node_name} | set(request.wanted.preferred)
        found = [node for node in map(cache.get, sorted(named)) if node is not None]
        found += cache.by_index(CLAIMED_BY, uid_of(raw))
        found += _selected(cache.by_index(FREE, type_key(request.wanted.instance_type)), request)
        if not is_true((raw.get("status") or {}).get("conditions"), RESOURCE_READY):
            held = cache.by_index(HELD, type_key(request.wanted.instance_type))
            found += _selected(held, request)[:EXPLAINED]
        return {name_of(node): self._view(node, request) for node in found}

    def claimed(self, holder: str) -> tuple[NodeView, ...]:
        """Those that carry the claim of a Workspace, given by its UID or by its key."""
        return tuple(read_node(node) for node in self._caches.nodes.by_index(CLAIMED_BY, holder))

    def lost(self, pods: Iterable[Object]) -> tuple[str, ...]:
        """Names of the nodes of replicas that are no longer there."""
        return tuple(name for name in sorted(homes_of_replicas(pods)) if self._caches.nodes.get(name) is None)

    def _view(self, node: Object, request: ResolvedWorkspace) -> NodeView:
        """A Node that does not carry its owner's labels still belongs to the Machine that names it."""
        view = self._typed(read_node(node), request)
        if view.owner:
            return view
        owners = [owner_key(machine) for machine in self._caches.machines.by_index(BY_NODE, view.name)]
        return replace(view, owner=owners[0]) if owners else view

    def _typed(self, view: NodeView, request: ResolvedWorkspace) -> NodeView:
        """With what the catalogue knows of its type, and how the model would run on it."""
        known = self._catalog().instance_type(view.instance_type) if view.instance_type else None
        if known is None:
            return replace(view, is_gpu_type=view.instance_type.lower().startswith("standard_n"))
        gpus = known.gpus if known.accelerator == "nvidia" else 0
        sizing = None if known.name == request.wanted.instance_type else request.sizing_on(known)
        return replace(view, is_gpu_type=known.gpus > 0, type_gpus=gpus, sizing=sizing)


def homes_of_replicas(pods: Iterable[Object]) -> set[str]:
    """Nodes of the pods that their workload counts.

    A ReplicaSet no longer counts a pod that is being deleted, and such a pod stays for a minute when its node is gone: nobody is left to
    end it. A StatefulSet counts what it finds ready until it is gone.
    """
    counted = (pod for pod in pods if not is_deleting(pod) or _is_rank(pod))
    return {str((pod.get("spec") or {}).get("nodeName") or "") for pod in counted} - {""}


def _is_rank(pod: Object) -> bool:
    return any(owner.get("kind") == "StatefulSet" for owner in pod["metadata"].get("ownerReferences") or ())


def _selected(nodes: Iterable[Object], request: ResolvedWorkspace) -> list[Object]:
    wanted = request.wanted.match_labels.items()
    return [node for node in nodes if wanted <= labels_of(node).items()]


def read_node(node: Object) -> NodeView:
    """A stored Node; what its Machine and the catalogue say of it is not part of it yet."""
    status = node.get("status") or {}
    condition = get_condition(status.get("conditions"), "Ready") or {}
    ready = condition.get("status") == "True"
    return NodeView(
        name=name_of(node),
        uid=uid_of(node),
        resource_version=str(node["metadata"].get("resourceVersion") or ""),
        ready=ready,
        gpus=integer((status.get("allocatable") or {}).get(GPU), most=MOST_GPUS),
        labels=labels_of(node),
        claim=read_claim(node),
        owner=owner_key(node),
        taints=tuple(taint for taint in (node.get("spec") or {}).get("taints") or () if isinstance(taint, dict)),
        unschedulable=bool((node.get("spec") or {}).get("unschedulable")),
        deleting=is_deleting(node),
        eviction=notice_on(node),
        since=moment(condition.get("lastTransitionTime")),
        message="" if ready else str(condition.get("message") or condition.get("reason") or "kubelet has not reported"),
    )
