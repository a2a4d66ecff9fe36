"""The guard against acting twice on a stale cache: what a controller created or deleted just now counts at once."""

from __future__ import annotations

import threading

from controller_runtime.errors import AlreadyExists, Forbidden, Invalid
from controller_runtime.resources import PODS, Object, key_of, uid_of
from hack.localcluster.actors.pods import owner_uid
from hack.localcluster.actors.world import World

PENDING_EXPIRY_S = 30.0
REFUSED_RETRY_S = 1.0
"""Real seconds; nothing announces that a quota or a policy would let the pod in now."""


class PodRefusedError(Exception):
    """A pod may not be created. Its controller says so in an Event and tries again."""


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
        """Create a pod; False when one of that name is there already. Raises PodRefusedError when admission does not let it in."""
        try:
            created = self._world.client.create(PODS, pod)
        except AlreadyExists:
            return False
        except (Forbidden, Invalid) as error:
            raise PodRefusedError(f"Error creating: {error}") from error
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

    def next_serial(self) -> int:
        """A number that makes generated names differ."""
        with self._lock:
            self._serial += 1
            return self._serial
