"""What all actors share: the client, the caches, the timeline, the event recorder, and the guard against acting twice on a stale cache."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from controller_runtime.api import KubeClient
from controller_runtime.clock import rfc3339, rfc3339_micro
from controller_runtime.controller import Controller as RuntimeController
from controller_runtime.controller import Mapper, Predicate, Reconciler, Request
from controller_runtime.errors import AlreadyExists, ApiError, Conflict, NotFound
from controller_runtime.informer import Informer
from controller_runtime.resources import (
    EVENTS,
    PODS,
    Object,
    Resource,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from hack.localcluster.actors.pods import node_of, owner_uid
from hack.localcluster.durations import Durations
from hack.localcluster.timeline import Timeline

log = structlog.get_logger("localcluster.actors")

OWNER = "owner"
NODE = "node"
PENDING_EXPIRY_S = 30.0
REPEAT_AFTER_S = 60.0


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
        """Start caches, then controllers; returns when all have seen the world once."""
        self.recorder.start()
        for informer in self.informers.values():
            informer.start()
        for controller in self.controllers:
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
        """Write the status when anything differs; a vanished object is no error.

        The whole of it, not only what differs: the object may be older than our own last write, and half of a status would be a lie.
        """
        old = obj.get("status") or {}
        if all(old.get(key) == value for key, value in status.items()):
            return
        try:
            self.client.patch(
                resource, name_of(obj), {"status": status}, namespace_of(obj) or None, subresource="status"
            )
        except NotFound:
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


class PodsToCome:
    """Pods that were created or deleted just now and whose events the cache has not brought yet; so that none is made twice."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self._created: dict[str, dict[str, tuple[Object, float]]] = {}
        self._deleted: dict[str, float] = {}
        self._serial = 0
        world.informer(PODS).add_handler(self)

    def on_add(self, obj: Object, is_initial: bool) -> None:
        """The cache has it now; from here on it alone tells."""
        with self._lock:
            self._created.get(owner_uid(obj), {}).pop(key_of(obj), None)

    def on_update(self, old: Object, new: Object) -> None:
        """Nothing to learn."""

    def on_delete(self, obj: Object, final_state_unknown: bool) -> None:
        """It came and went."""
        with self._lock:
            self._created.get(owner_uid(obj), {}).pop(key_of(obj), None)
            self._deleted.pop(uid_of(obj), None)

    def pods_of(self, owner: Object) -> list[Object]:
        """The owner's pods: those of the cache, those that will come to it, without those that are on their way out."""
        cached = {key_of(pod): pod for pod in self._world.owned_pods(owner)}
        now = self._world.timeline.clock.monotonic()
        with self._lock:
            awaited = self._created.get(uid_of(owner), {})
            for key, (_, deadline) in list(awaited.items()):
                if key in cached or now > deadline:
                    del awaited[key]
            for uid, deadline in list(self._deleted.items()):
                if now > deadline:
                    del self._deleted[uid]
            merged = [*cached.values(), *(pod for pod, _ in awaited.values())]
            return [
                pod for pod in merged if uid_of(pod) not in self._deleted or (pod["metadata"].get("deletionTimestamp"))
            ]

    def create(self, owner: Object, pod: Object) -> bool:
        """Create a pod; False when one of that name is there already."""
        try:
            created = self._world.client.create(PODS, pod)
        except AlreadyExists:
            return False
        deadline = self._world.timeline.clock.monotonic() + PENDING_EXPIRY_S
        with self._lock:
            self._created.setdefault(uid_of(owner), {})[key_of(created)] = (created, deadline)
        return True

    def delete(self, pod: Object) -> None:
        """Delete a pod, once."""
        self._world.delete(PODS, pod)
        with self._lock:
            self._deleted[uid_of(pod)] = self._world.timeline.clock.monotonic() + PENDING_EXPIRY_S
            for awaited in self._created.values():
                awaited.pop(key_of(pod), None)

    def forget(self, owner_uid_: str) -> None:
        """The owner is gone."""
        with self._lock:
            self._created.pop(owner_uid_, None)

    def next_serial(self) -> int:
        """A number that makes generated names differ."""
        with self._lock:
            self._serial += 1
            return self._serial


class EventLog:
    """Records Events in a thread of its own, dropping repetitions; a full queue or a refusing server loses them, as in reality."""

    def __init__(self, client: KubeClient, timeline: Timeline) -> None:
        self._client = client
        self._timeline = timeline
        self._condition = threading.Condition()
        self._queue: list[Object] = []
        self._seen: dict[tuple[str, str, str], float] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the writer."""
        self._thread = threading.Thread(target=self._run, name="actors-events", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the writer; what is queued is dropped."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def record(self, component: str, resource: Resource, obj: Object, kind: str, reason: str, note: str) -> None:
        """Say something about an object; the same text about the same object is said once a minute."""
        now = self._timeline.clock.monotonic()
        key = (uid_of(obj), reason, note)
        with self._condition:
            if self._seen.get(key, 0.0) > now or len(self._queue) > 2000:
                return
            if len(self._seen) > 5000:
                self._seen = {k: until for k, until in self._seen.items() if until > now}
            self._seen[key] = now + REPEAT_AFTER_S
            self._queue.append(self._build(component, resource, obj, kind, reason, note))
            self._condition.notify()

    def _build(self, component: str, resource: Resource, obj: Object, kind: str, reason: str, note: str) -> Object:
        moment = self._timeline.clock.now()
        namespace = namespace_of(obj) or "default"
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{name_of(obj)[:200]}.{int(moment.timestamp() * 1e9):x}", "namespace": namespace},
            "eventTime": rfc3339_micro(moment),
            "type": kind,
            "reason": reason,
            "action": reason,
            "note": note[:1024],
            "regarding": {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": name_of(obj),
                "uid": uid_of(obj),
                **({"namespace": namespace_of(obj)} if namespace_of(obj) else {}),
            },
            "reportingController": component,
            "reportingInstance": f"{component}-localcluster",
        }

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._queue and not self._stopping:
                    self._condition.wait()
                if self._stopping:
                    return
                batch, self._queue = self._queue, []
            for event in batch:
                self._write(event)

    def _write(self, event: dict[str, Any]) -> None:
        try:
            self._client.create(EVENTS, event)
        except ApiError as error:
            log.debug("event lost", reason=event["reason"], error=str(error))


def request_for_owner(kind: str) -> Mapper:
    """Mapper from a dependent to its controlling owner of that kind."""

    def owners(obj: Object) -> Iterable[Request]:
        for reference in (obj.get("metadata") or {}).get("ownerReferences") or []:
            if reference.get("controller") and reference.get("kind") == kind:
                yield Request(namespace_of(obj), str(reference.get("name")))

    return owners
