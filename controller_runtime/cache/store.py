"""The cache of one resource type: objects by key, their indices, and what changed between two states.

It turns list results and watch events into changes (add, update, delete), so that whoever listens never has to compare. An object that
was deleted and created again under its name is a delete and an add, never an update. It does no I/O and tells nobody; `informer` does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

from controller_runtime.cache.freshness import Freshness
from controller_runtime.cache.indexer import Index
from controller_runtime.cache.indexer import IndexFunc as IndexFunc  # Part of this module's interface.
from controller_runtime.cache.mutation import detects_mutation, freeze
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object

Delta = tuple[Object | None, Object | None, bool]
"""(old, new, flag). No old: an add, flag = part of the initial list. No new: a delete, flag = final state unknown. Both: an update."""

Deltas = list[Delta]
Objects = list[Object]
# Spelled here because the class has a method `list`, which hides the type from its annotations.

_log = get_logger(__name__)


class Store:
    """Thread-safe. `lock` is public so that an informer can change the cache and tell its handlers in one step."""

    def __init__(self, kind: str, indexers: Mapping[str, IndexFunc] | None = None) -> None:
        self.lock = threading.RLock()
        self.malformed = 0
        self.stale = 0
        self._kind = kind
        self._objects: dict[str, Object] = {}
        self._freshness = Freshness()
        self._frozen = detects_mutation()
        self._indices = {name: Index(name, function) for name, function in (indexers or {}).items()}

    @property
    def resource_version(self) -> str:
        """The newest resourceVersion that this cache reflects; "" before the first list."""
        return self._freshness.resource_version

    def has_seen(self, resource_version: str) -> bool:
        """True once the cache is at least as new as `resource_version` (of an object of this type, such as our own write)."""
        with self.lock:
            return self._freshness.has_seen(resource_version)

    def get(self, key: str) -> Object | None:
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Objects:
        with self.lock:
            if not namespace:
                return [*self._objects.values()]
            prefix = f"{namespace}/"
            return [obj for key, obj in self._objects.items() if key.startswith(prefix)]

    def keys(self) -> Sequence[str]:
        with self.lock:
            return [*self._objects]

    def __len__(self) -> int:
        return len(self._objects)

    def by_index(self, index: str, value: str) -> Objects:
        """Objects for which the index function gave `value`; ValueError for an index that does not exist."""
        with self.lock:
            if index not in self._indices:
                raise ValueError(f"the cache of {self._kind} has no index {index!r}; it has {sorted(self._indices)}")
            return [self._objects[key] for key in self._indices[index].keys(value)]

    def index_values(self, index: str) -> Sequence[str]:
        """Every value in an index."""
        with self.lock:
            return self._indices[index].values()

    def add_indexer(self, name: str, function: IndexFunc) -> None:
        """Add an index, also later on. ValueError when the name is taken by another function."""
        with self.lock:
            existing = self._indices.get(name)
            if existing is not None:
                if existing.function is function:
                    return
                raise ValueError(f"the cache of {self._kind} already has another index {name!r}; choose another name")
            index = Index(name, function)
            for key, obj in self._objects.items():
                index.put(key, obj)
            self._indices[name] = index

    def apply(self, events: Iterable[tuple[str, Object]]) -> Deltas:
        """Take watch events of type ADDED, MODIFIED or DELETED; returns what they changed, in order."""
        changes: Deltas = []
        objects, admit, expected = self._objects, self._freshness.admit, self._kind
        with self.lock:
            for kind, obj in events:
                try:
                    metadata = obj["metadata"]
                    namespace = metadata.get("namespace")
                    key = f"{namespace}/{metadata['name']}" if namespace else metadata["name"]
                    version = metadata["resourceVersion"]
                except (KeyError, TypeError, AttributeError) as error:
                    self._refuse(f"no {error}")
                    continue
                if version.__class__ is not str or obj.get("kind", expected) != expected:
                    self._refuse(f"kind {obj.get('kind')}, resourceVersion {version!r}")
                    continue
                known = objects.get(key)
                if not admit(version, key, known):
                    self.stale += 1
                elif kind == "DELETED":
                    self._delete(key, obj, version, changes)
                else:
                    self._put(key, obj, known, changes)
        return changes

    def replace(self, items: Iterable[Object], resource_version: str, *, initial: bool) -> Deltas:
        """Make the cache equal to a list; deletes first, with the last known state, then what is new or changed in list order."""
        fresh: dict[str, Object] = {}
        for obj in items:
            try:
                metadata = obj["metadata"]
                namespace = metadata.get("namespace")
                fresh[f"{namespace}/{metadata['name']}" if namespace else metadata["name"]] = obj
            except (KeyError, TypeError, AttributeError) as error:
                self._refuse(f"no {error}")
        changes: Deltas = []
        with self.lock:
            for key in [key for key in self._objects if key not in fresh]:
                self._drop(key, changes)
            for key, obj in fresh.items():
                known = self._objects.get(key)
                if known is None or not _same_version(known, obj):
                    self._put(key, obj, known, changes, initial=initial)
            self._freshness.restart(resource_version)
        return changes

    def note(self, resource_version: str) -> None:
        """A bookmark arrived."""
        with self.lock:
            self._freshness.note(resource_version)

    def _put(self, key: str, obj: Object, known: Object | None, changes: Deltas, *, initial: bool = False) -> None:
        if self._frozen:
            obj = freeze(obj)
        if known is not None and known["metadata"].get("uid") != obj["metadata"].get("uid"):
            changes.append((known, None, True))
            known = None
        self._objects[key] = obj
        for index in self._indices.values():
            index.put(key, obj)
        changes.append((known, obj, initial and known is None))

    def _delete(self, key: str, last: Object, version: str, changes: Deltas) -> None:
        self._freshness.bury(key, version)
        known = self._objects.pop(key, None)
        for index in self._indices.values():
            index.remove(key)
        if known is None:
            return  # Nobody was ever told of this object, so nobody has to be told that it is gone.
        if known["metadata"].get("uid") != last["metadata"].get("uid"):
            changes.append((known, None, True))
        else:
            changes.append((freeze(last) if self._frozen else last, None, False))

    def _drop(self, key: str, changes: Deltas) -> None:
        known = self._objects.pop(key)
        for index in self._indices.values():
            index.remove(key)
        changes.append((known, None, True))

    def _refuse(self, problem: str) -> None:
        self.malformed += 1
        _log.warning("skipped an object that is not one of this type", expected_kind=self._kind, problem=problem)


def _same_version(known: Object, obj: Object) -> bool:
    ours, theirs = known["metadata"], obj["metadata"]
    version = theirs.get("resourceVersion")
    return bool(version) and version == ours.get("resourceVersion") and theirs.get("uid") == ours.get("uid")
