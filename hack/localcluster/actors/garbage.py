"""Garbage collection by owner references: background, foreground and orphan, over every type that the API server serves.

An object is deleted when none of its owners exists any more; whether one exists is decided by UID, and by the API server itself when the
caches do not know. Types come from discovery, again whenever a CustomResourceDefinition changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from controller_runtime.cache.informer import Informer
from controller_runtime.controller.controller import Change, Request, Result
from controller_runtime.controller.controller import Controller as RuntimeController
from controller_runtime.errors import ApiError, Conflict, NotFound
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    LEASES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    Object,
    Resource,
    finalizers_of,
    is_deleting,
    name_of,
    namespace_of,
    uid_of,
)
from hack.localcluster.actors.endpoints import ENDPOINT_SLICES
from hack.localcluster.actors.world import World

log = structlog.get_logger("localcluster.garbage")

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
SECRETS = Resource("", "v1", "secrets", "Secret", namespaced=True)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
BUILT_IN = (
    PODS, NODES, SERVICES, CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, JOBS, LEASES,
    POD_DISRUPTION_BUDGETS, ENDPOINT_SLICES,
)  # fmt: skip
OWNERS = "gc-owners"
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True)
class _Member:
    """A type in the graph, with its cache and its queue."""

    resource: Resource
    informer: Informer
    controller: RuntimeController


class GarbageCollector:
    """The graph of owners over all types, one controller per type."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._members: dict[tuple[str, str], _Member] = {}
        for resource in BUILT_IN:
            self._add(resource, world.informer(resource))
        world.run("gc-types", _Types(self, world), {CRDS: lambda crd: [Request("", name_of(crd))]})

    def _add(self, resource: Resource, informer: Informer) -> _Member:
        informer.add_indexer(OWNERS, owner_uids)
        name = f"gc-{resource}"
        controller = self._world.run(name, _Collector(self, resource, informer), {})
        controller.watch(informer, lambda obj: [Request.for_object(obj)], predicate=_matters)
        controller.watch(informer, lambda _: [], predicate=self._on_change)
        member = _Member(resource, informer, controller)
        self._members[(resource.group, resource.kind)] = member
        return member

    def add_custom(self, resource: Resource) -> None:
        """A type that a CRD brought; its cache and controller start now."""
        if (resource.group, resource.kind) in self._members:
            return
        informer = Informer(self._world.client, resource)
        member = self._add(resource, informer)
        self._world.informers[resource] = informer
        informer.start()
        member.controller.start()

    def remove_custom(self, group: str, kind: str) -> None:
        """The CRD is gone."""
        member = self._members.pop((group, kind), None)
        if member is not None:
            self._world.controllers.remove(member.controller)
            member.controller.stop(0.0)
            self._world.informers.pop(member.resource, None)
            member.informer.stop(0.5)

    def _on_change(self, change: Change) -> bool:
        """When an object goes, its dependents have to be looked at; when a dependent goes, a foreground deletion may go on."""
        if change.new is None and change.old is not None:
            for member, dependent in self.dependents(uid_of(change.old)):
                member.controller.enqueue(Request.for_object(dependent))
            for reference in _references(change.old):
                self._wake_owner(reference, namespace_of(change.old))
        elif change.new is not None and is_deleting(change.new) and FOREGROUND in finalizers_of(change.new):
            for member, dependent in self.dependents(uid_of(change.new)):
                member.controller.enqueue(Request.for_object(dependent))
        return False

    def _wake_owner(self, reference: Object, namespace: str) -> None:
        member = self.member_of(reference)
        if member is not None:
            where = namespace if member.resource.namespaced else ""
            member.controller.enqueue(Request(where, reference["name"]))

    def dependents(self, uid: str) -> Iterable[tuple[_Member, Object]]:
        """Everything that names this UID as an owner."""
        for member in list(self._members.values()):
            for obj in member.informer.by_index(OWNERS, uid):
                yield member, obj

    def member_of(self, reference: Object) -> _Member | None:
        """The type that an owner reference points to."""
        group, _, _ = str(reference.get("apiVersion", "")).rpartition("/")
        return self._members.get((group, str(reference.get("kind"))))

    def state_of(self, reference: Object, namespace: str) -> str:
        """`present`, `waiting` (being deleted in the foreground), `absent`, or `unknown` for a type that is not served."""
        member = self.member_of(reference)
        if member is None:
            return "unknown"
        where = namespace if member.resource.namespaced else None
        owner = member.informer.get(str(reference["name"]), where or "")
        if owner is None or uid_of(owner) != reference["uid"]:
            try:
                owner = self._world.client.get(member.resource, str(reference["name"]), where)
            except NotFound:
                return "absent"
        if uid_of(owner) != reference["uid"]:
            return "absent"
        return "waiting" if is_deleting(owner) and FOREGROUND in finalizers_of(owner) else "present"


class _Collector:
    """Reconciles one object of one type."""

    def __init__(self, graph: GarbageCollector, resource: Resource, informer: Informer) -> None:
        self._graph = graph
        self._world = graph._world
        self._resource = resource
        self._informer = informer

    def reconcile(self, request: Request) -> Result:
        """Finish its own foreground or orphan deletion, else see whether it still has an owner."""
        obj = self._informer.get(request.name, request.namespace)
        if obj is None:
            return Result()
        if is_deleting(obj):
            self._finish(obj)
        elif references := _references(obj):
            self._judge(obj, references)
        return Result()

    def _judge(self, obj: Object, references: list[Object]) -> None:
        states = [self._graph.state_of(reference, namespace_of(obj)) for reference in references]
        if "unknown" in states or "present" in states:
            kept = [r for r, state in zip(references, states, strict=True) if state in ("present", "unknown")]
            if len(kept) < len(references):
                self._patch(obj, {"ownerReferences": kept})
            return
        has_dependents = any(True for _ in self._graph.dependents(uid_of(obj)))
        policy = "Foreground" if "waiting" in states and has_dependents else "Background"
        try:
            self._world.client.delete(
                self._resource, name_of(obj), namespace_of(obj) or None, uid=uid_of(obj), propagation=policy
            )
        except (NotFound, Conflict):
            return

    def _finish(self, obj: Object) -> None:
        finalizers = finalizers_of(obj)
        if ORPHAN in finalizers:
            for member, dependent in self._graph.dependents(uid_of(obj)):
                rest = [r for r in _references(dependent) if r["uid"] != uid_of(obj)]
                self._patch(dependent, {"ownerReferences": rest}, member.resource)
            self._patch(obj, {"finalizers": [f for f in finalizers if f != ORPHAN]})
        elif FOREGROUND in finalizers:
            blocking = [d for _, d in self._graph.dependents(uid_of(obj)) if _blocks(d, uid_of(obj))]
            if not blocking:
                self._patch(obj, {"finalizers": [f for f in finalizers if f != FOREGROUND]})

    def _patch(self, obj: Object, metadata: Object, resource: Resource | None = None) -> None:
        body = {"metadata": {**metadata, "uid": uid_of(obj), "resourceVersion": obj["metadata"]["resourceVersion"]}}
        try:
            self._world.client.patch(resource or self._resource, name_of(obj), body, namespace_of(obj) or None)
        except NotFound:
            return


class _Types:
    """Follows CustomResourceDefinitions."""

    def __init__(self, graph: GarbageCollector, world: World) -> None:
        self._graph = graph
        self._world = world
        self._known: dict[str, tuple[str, str]] = {}

    def reconcile(self, request: Request) -> Result:
        """Have a graph member for each established custom type, in its storage version."""
        crd = self._world.informer(CRDS).get(request.name)
        if crd is None or is_deleting(crd):
            if known := self._known.pop(request.name, None):
                self._graph.remove_custom(*known)
            return Result()
        conditions = (crd.get("status") or {}).get("conditions") or []
        if not any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions):
            return Result(requeue_after_s=0.5)
        spec = crd["spec"]
        version = next((v["name"] for v in spec["versions"] if v.get("storage")), spec["versions"][0]["name"])
        names = spec["names"]
        resource = Resource(
            spec["group"], version, names["plural"], names["kind"], namespaced=spec["scope"] == "Namespaced"
        )
        self._known[request.name] = (resource.group, resource.kind)
        try:
            self._graph.add_custom(resource)
        except ApiError as error:
            log.warning("a custom type cannot be followed yet", resource=str(resource), error=str(error))
            return Result(requeue_after_s=1.0)
        return Result()


def _references(obj: Object) -> list[Object]:
    return list((obj.get("metadata") or {}).get("ownerReferences") or [])


def owner_uids(obj: Object) -> list[str]:
    """Index function: the UIDs of all owners."""
    return [str(reference.get("uid")) for reference in _references(obj)]


def _blocks(dependent: Object, uid: str) -> bool:
    return any(r["uid"] == uid and r.get("blockOwnerDeletion") for r in _references(dependent))


def _matters(change: Change) -> bool:
    """Only objects with owners, or in deletion, and only when that changed."""
    if change.new is None:
        return False
    now = (_references(change.new), is_deleting(change.new), finalizers_of(change.new))
    if change.old is None:
        return bool(now[0]) or now[1]
    before = (_references(change.old), is_deleting(change.old), finalizers_of(change.old))
    return now != before
