"""What all actors share: the client, the caches, the timeline, the event log, and the writing of statuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import structlog

from controller_runtime.cache.informer import Informer
from controller_runtime.client.api import KubeClient
from controller_runtime.clock import rfc3339
from controller_runtime.controller.controller import Controller as RuntimeController
from controller_runtime.controller.controller import Mapper, Predicate, Reconciler, Request
from controller_runtime.errors import Conflict, NotFound
from controller_runtime.resources import (
    PODS,
    Object,
    Resource,
    name_of,
    namespace_of,
    uid_of,
)
from hack.localcluster.actors.eventlog import EventLog
from hack.localcluster.actors.pods import node_of, owner_uid
from hack.localcluster.durations import Durations
from hack.localcluster.timeline import Timeline

log = structlog.get_logger("localcluster.actors")

OWNER = "owner"
NODE = "node"


class World:
    """The surroundings of the actors. Caches are shared: one informer per resource."""

    def __init__(self, client: KubeClient, timeline: Timeline, durations: Durations) -> None:
        self.client = client
        self.timeline = timeline
        self.durations = durations
        self.informers: dict[Resource, Informer] = {}
        self.controllers: list[RuntimeController] = []
        self.recorder = EventLog(client, timeline)

    def informer(self, resource: Resource) -> Informer:
        """The cache of a resource; indexed by owner, and pods also by node."""
        if resource not in self.informers:
            indexers: dict[str, Callable[[Object], Iterable[str]]] = {OWNER: lambda obj: [owner_uid(obj)]}
            if resource == PODS:
                indexers[NODE] = lambda pod: [node_of(pod)]
            self.informers[resource] = Informer(self.client, resource, indexers=indexers)
        return self.informers[resource]

    def run(
        self,
        name: str,
        reconciler: Reconciler,
        watches: Mapping[Resource, Mapper],
        *,
        workers: int = 1,
        predicate: Predicate | None = None,
    ) -> RuntimeController:
        """Make a controller that is started with the others."""
        controller = RuntimeController(f"localcluster-{name}", reconciler, workers=workers)
        for resource, mapper in watches.items():
            controller.watch(self.informer(resource), mapper, predicate=predicate)
        self.controllers.append(controller)
        return controller

    def start(self) -> None:
        """Start caches, then controllers; returns when all have seen the world once.

        Those that a running controller adds meanwhile (for the CRDs of a restored state) it starts itself.
        """
        self.recorder.start()
        for informer in list(self.informers.values()):
            informer.start()
        for controller in list(self.controllers):
            controller.start()

    def stop(self) -> None:
        """Stop controllers, then caches."""
        for controller in self.controllers:
            controller.stop(2.0)
        for informer in self.informers.values():
            informer.stop(2.0)
        self.recorder.stop()

    def owned_pods(self, owner: Object) -> list[Object]:
        """Pods that the owner controls."""
        return self.informer(PODS).by_index(OWNER, uid_of(owner))

    def now(self) -> str:
        """The time as `metav1.Time`."""
        return rfc3339(self.timeline.clock.now())

    def patch_status(self, resource: Resource, obj: Object, status: Object) -> None:
        """Write the status of exactly this object (by UID) when anything differs; a vanished or recreated one is no error.

        The whole of it, not only what differs: the object may be older than our own last write, and half of a status would be a lie.
        """
        old = obj.get("status") or {}
        if all(old.get(key) == value for key, value in status.items()):
            return
        patch = {"metadata": {"uid": uid_of(obj)}, "status": status}
        try:
            self.client.patch(resource, name_of(obj), patch, namespace_of(obj) or None, subresource="status")
        except (NotFound, Conflict):
            return

    def delete(self, resource: Resource, obj: Object, *, grace_period_s: int | None = None) -> None:
        """Delete exactly this object (by UID); a vanished or recreated one is no error."""
        try:
            self.client.delete(
                resource, name_of(obj), namespace_of(obj) or None, uid=uid_of(obj), grace_period_s=grace_period_s
            )
        except (NotFound, Conflict):
            return

    def merge_conditions(self, obj: Object, wanted: Mapping[str, tuple[str, str, str]]) -> list[Object]:
        """The object's conditions with these (type → status, reason, message) set; times move on a flip only."""
        conditions = [dict(entry) for entry in (obj.get("status") or {}).get("conditions") or []]
        by_type = {entry["type"]: entry for entry in conditions}
        for kind, (status, reason, message) in wanted.items():
            entry = by_type.get(kind)
            if entry is None:
                entry = {"type": kind}
                conditions.append(entry)
            if entry.get("status") != status:
                entry["lastTransitionTime"] = self.now()
            entry["status"] = status
            for key, value in (("reason", reason), ("message", message)):
                if value:
                    entry[key] = value
                else:
                    entry.pop(key, None)
        return conditions


def request_for_owner(kind: str) -> Mapper:
    """Mapper from a dependent to its controlling owner of that kind."""

    def owners(obj: Object) -> Iterable[Request]:
        for reference in (obj.get("metadata") or {}).get("ownerReferences") or []:
            if reference.get("controller") and reference.get("kind") == kind:
                yield Request(namespace_of(obj), str(reference.get("name")))

    return owners
