"""Objects in memory with one global resourceVersion, a history per resource, and watchers that are fed from it.

Only the event loop's thread touches a Store, so every read and write is linearizable without a lock. Objects are never changed in
place: a write makes a new `Entry`, whose JSON is encoded once and shared by reads, lists and all watchers. The history is both the
watch window and the way back to an older state (for paged and exact lists).
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from hack.localcluster.apiserver.errors import bad_request, expired
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import StorageKey

Key = tuple[str, str]
"""Namespace ("" for cluster-scoped) and name."""


class Entry:
    """One version of one object."""

    __slots__ = ("_data", "obj", "rv")

    def __init__(self, obj: Object, rv: int) -> None:
        self.obj = obj
        self.rv = rv
        self._data: bytes | None = None

    @property
    def data(self) -> bytes:
        """The object as JSON, encoded on first use."""
        if self._data is None:
            self._data = orjson.dumps(self.obj)
        return self._data

    def check_encodable(self) -> None:
        """400 for what could not be read again, such as a value that patches have nested too deep."""
        try:
            self._data = orjson.dumps(self.obj)
        except (TypeError, ValueError, RecursionError) as error:
            raise bad_request(f"the object cannot be kept: {error}") from error

    def copy(self) -> Object:
        """A private copy of the object."""
        found: Object = orjson.loads(self.data)
        return found


@dataclass(slots=True, eq=False)
class StoredChange:
    """One committed write. `entry` is the new state (for DELETED: the last one, with the RV of the deletion)."""

    rv: int
    event: str
    resource: StorageKey
    key: Key
    entry: Entry
    previous: Entry | None
    client: str
    _frames: dict[str, bytes] = field(default_factory=dict)

    def frame(self, event: str) -> bytes:
        """The watch line for an event type; encoded once for all watchers."""
        found = self._frames.get(event)
        if found is None:
            entry = self.entry
            if event == "DELETED" and self.event != "DELETED" and self.previous:
                entry = Entry(_with_rv(self.previous.obj, self.rv), self.rv)
            found = self._frames[event] = b'{"type":"%b","object":%b}\n' % (event.encode(), entry.data)
        return found


def _with_rv(obj: Object, rv: int) -> Object:
    return obj | {"metadata": obj["metadata"] | {"resourceVersion": str(rv)}}


class Subscription:
    """A watcher's inbox. `closed` ends the stream: the watcher was too slow, or the server restored another state."""

    LIMIT = 20_000

    def __init__(self) -> None:
        self.pending: deque[StoredChange] = deque()
        self.wake = asyncio.Event()
        self.closed = False

    def put(self, change: StoredChange) -> None:
        """Deliver; a watcher that does not read is cut off, as the real watch cache does."""
        if len(self.pending) >= self.LIMIT:
            self.close()
        else:
            self.pending.append(change)
            self.wake.set()

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        self.wake.set()


class Collection:
    """The objects of one resource and their recent history."""

    def __init__(self, resource: StorageKey, floor: int) -> None:
        self.resource = resource
        self.entries: dict[Key, Entry] = {}
        self.changes: deque[StoredChange] = deque()
        self.floor = floor
        self.subscriptions: set[Subscription] = set()
        self._sorted: list[Key] | None = None

    def apply(self, change: StoredChange, limit: int) -> None:
        """Take a change in and pass it on."""
        if change.event == "MODIFIED":
            self.entries[change.key] = change.entry
        else:
            self._sorted = None
            if change.event == "DELETED":
                del self.entries[change.key]
            else:
                self.entries[change.key] = change.entry
        self.changes.append(change)
        while len(self.changes) > limit:
            self.floor = self.changes.popleft().rv
        for subscription in self.subscriptions:
            subscription.put(change)

    def select(self, namespace: str) -> list[Entry]:
        """The entries of one namespace, or all for "", in key order."""
        if self._sorted is None:
            self._sorted = sorted(self.entries)
        keys = self._sorted
        if namespace:
            keys = keys[bisect_left(keys, (namespace, "")) : bisect_right(keys, (namespace, "\U0010ffff"))]
        return [self.entries[key] for key in keys]

    def at(self, rv: int) -> dict[Key, Entry]:
        """The objects as they were at a resourceVersion; 410 when that is compacted away."""
        if rv < self.floor:
            raise expired(f"The resourceVersion for the provided list is too old: {rv} ({self.floor})")
        entries = dict(self.entries)
        for change in reversed(self.changes):
            if change.rv <= rv:
                break
            if change.previous is None:
                entries.pop(change.key, None)
            else:
                entries[change.key] = change.previous
        return entries

    def since(self, rv: int) -> list[StoredChange]:
        """The changes after a resourceVersion; 410 when some are compacted away."""
        if rv < self.floor:
            raise expired(f"too old resource version: {rv} ({self.floor})")
        if not self.changes or self.changes[-1].rv <= rv:
            return []
        return [change for change in self.changes if change.rv > rv]


class Store:
    """All collections. `history_limit` is the watch window: changes kept per resource."""

    def __init__(self, *, history_limit: int = 20_000, keep_log: bool = True) -> None:
        self.rv = 1
        self.history_limit = history_limit
        self.log: list[StoredChange] | None = [] if keep_log else None
        self._collections: dict[StorageKey, Collection] = {}
        self._floor = 0
        self.listeners: list[Callable[[StoredChange], None]] = []
        self.advanced = asyncio.Event()

    def collection(self, resource: StorageKey) -> Collection:
        """The collection of a resource, made on first use."""
        found = self._collections.get(resource)
        if found is None:
            found = self._collections[resource] = Collection(resource, self._floor)
        return found

    def get(self, resource: StorageKey, key: Key) -> Entry | None:
        """One entry."""
        return self.collection(resource).entries.get(key)

    def put(self, resource: StorageKey, key: Key, obj: Object, client: str) -> Entry:
        """Commit a new state of an object; gives it the next resourceVersion. The caller must not touch `obj` afterwards."""
        previous = self.get(resource, key)
        self.rv += 1
        obj["metadata"]["resourceVersion"] = str(self.rv)
        entry = Entry(obj, self.rv)
        entry.check_encodable()
        event = "MODIFIED" if previous else "ADDED"
        self._commit(StoredChange(self.rv, event, resource, key, entry, previous, client))
        return entry

    def remove(self, resource: StorageKey, key: Key, client: str) -> Entry:
        """Commit the end of an object; returns its last state, with the RV of the deletion."""
        previous = self.collection(resource).entries[key]
        self.rv += 1
        entry = Entry(_with_rv(previous.obj, self.rv), self.rv)
        self._commit(StoredChange(self.rv, "DELETED", resource, key, entry, previous, client))
        return entry

    def _commit(self, change: StoredChange) -> None:
        self.collection(change.resource).apply(change, self.history_limit)
        if self.log is not None:
            self.log.append(change)
        self.advanced.set()
        self.advanced.clear()
        for listener in self.listeners:
            listener(change)

    def compact(self) -> int:
        """Forget all history now: watches and lists from before this resourceVersion get 410. Returns it."""
        self._floor = self.rv
        for collection in self._collections.values():
            collection.changes.clear()
            collection.floor = self.rv
        return self.rv

    def close_watches(self) -> None:
        """End every watch stream."""
        for collection in self._collections.values():
            for subscription in collection.subscriptions:
                subscription.close()

    def dump(self) -> Object:
        """Everything, as plain JSON data."""
        objects = [
            [group, plural, entry.obj]
            for (group, plural), collection in self._collections.items()
            for entry in collection.select("")
        ]
        return {"resourceVersion": self.rv, "objects": objects}

    def load(self, state: Object, *, minimum_rv: int = 0) -> None:
        """Become the dumped state. Watches end; the resourceVersion goes on from the dump's (or from `minimum_rv`, if larger)."""
        self.close_watches()
        self.rv = max(int(state["resourceVersion"]), minimum_rv)
        self._floor = self.rv
        self._collections = {}
        for group, plural, obj in state["objects"]:
            metadata = obj["metadata"]
            key = (metadata.get("namespace", ""), metadata["name"])
            self.collection((group, plural)).entries[key] = Entry(obj, int(metadata["resourceVersion"]))
