"""Caches that a test makes wrong on purpose: behind, missing an event, told one twice, cut off, or set back in time.

They move only when told to (see `DirectInformer`); `relist` is what a reflector does after a 410 or a long silence. Harsher than the
real cache on one point: a repeated event reaches the handlers, as after a replay whose versions cannot be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller_runtime.cache.mutation import freeze
from controller_runtime.resources import Object, Resource, key_of, resource_version_of, uid_of
from hack.localcluster.apiserver.store import StoredChange
from test.faults.gpu_provisioner.direct_client import DirectInformer, DirectServer

DROP = "drop"
DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class EventFault:
    """What happens to the n-th event (from 0) of one collection."""

    resource: Resource
    number: int
    kind: str


class FaultyCache(DirectInformer):
    """`held` stops it; `fault` spoils one event. Objects refuse to be changed, so that a look that writes into the cache fails."""

    def __init__(self, server: DirectServer, resource: Resource) -> None:
        super().__init__(server, resource)
        self.fault: EventFault | None = None
        self.events = 0
        self.type_is_missing = False

    def _apply(self, change: StoredChange) -> None:
        number, self.events = self.events, self.events + 1
        fault = self.fault
        times = 1
        if fault is not None and fault.resource == self.resource and fault.number == number:
            times = 0 if fault.kind == DROP else 2
        for _ in range(times):
            super()._apply(_read_only(change))

    def relist(self) -> None:
        """Become what the server holds now; what is missing there is told as deleted, with a state that may be old."""
        current = {key_of(obj): freeze(obj) for obj in self._server.objects(self.resource)}
        self._position = len(self._server.store.log or [])
        for key, old in list(self._objects.items()):
            if key not in current or uid_of(current[key]) != uid_of(old):
                del self._objects[key]
                self._tell("on_delete", old, True)
        for key, new in current.items():
            before = self._objects.get(key)
            self._objects[key] = new
            if before is None:
                self._tell("on_add", new, False)
            elif resource_version_of(before) != resource_version_of(new):
                self._tell("on_update", before, new)

    def forget_everything(self) -> None:
        """As a process that has just started and was served from a state before anything existed."""
        self._objects.clear()

    def _tell(self, what: str, *news: object) -> None:
        for handler in self._handlers:
            getattr(handler, what)(*news)


class _Frozen:
    """The entry of a change, whose copies refuse to be changed."""

    def __init__(self, obj: Object) -> None:
        self._obj = freeze(obj)

    def copy(self) -> Object:
        found: Object = self._obj
        return found


def _read_only(change: StoredChange) -> StoredChange:
    return StoredChange(
        change.rv,
        change.event,
        change.resource,
        change.key,
        _Frozen(change.entry.obj),  # type: ignore[arg-type]
        change.previous,
        change.client,
    )


def every_event(caches: dict[Resource, FaultyCache]) -> Iterator[EventFault]:
    """One fault of each kind for each event that these caches were told of."""
    for resource, cache in caches.items():
        for number in range(cache.events):
            for kind in (DROP, DUPLICATE):
                yield EventFault(resource, number, kind)
