"""From a change in a cache to keys in a queue: predicates say whether it matters, mappers say to whom.

A mapper sees one object and names the requests it concerns; for an update it is asked about the old *and* the new object, so that an
owner that lost a child hears of it. A predicate sees the change as a whole. Both are plain functions; compose them freely.
Changes that tell nothing new (the initial list, resyncs, relists of unchanged objects) are queued with low priority.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller_runtime.controller.reconcile import Request
from controller_runtime.queue.workqueue import LOW_PRIORITY
from controller_runtime.resources import (
    Object,
    controller_of,
    namespace_of,
    resource_version_of,
)

if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One observed change. Creation: `old` is None. Deletion: `new` is None and `old` the last known state."""

    old: Object | None
    new: Object | None


Mapper = Callable[[Object], Iterable[Request]]
Predicate = Callable[[Change], bool]
Enqueue = Callable[[Request, int], None]


def for_object(obj: Object) -> Iterable[Request]:
    """Mapper: the object itself."""
    return (Request.for_object(obj),)


def for_owner(kind: str, group: str, *, namespaced: bool = True, controller_only: bool = True) -> Mapper:
    """Mapper: the owners of that kind and group, in any version. `namespaced=False` when the owner's kind is cluster-scoped."""

    def owners(obj: Object) -> Iterable[Request]:
        namespace = namespace_of(obj) if namespaced else ""
        for reference in _owner_references(obj, controller_only):
            if reference.get("kind") == kind and _group_of(reference) == group:
                yield Request(namespace, str(reference.get("name", "")))

    return owners


def _owner_references(obj: Object, controller_only: bool) -> Iterable[Mapping[str, Any]]:
    if controller_only:
        reference = controller_of(obj)
        return () if reference is None else (reference,)
    return (obj.get("metadata") or {}).get("ownerReferences") or ()


def _group_of(reference: Mapping[str, Any]) -> str:
    group, _, _ = str(reference.get("apiVersion", "")).rpartition("/")
    return group


def generation_changed(change: Change) -> bool:
    """Predicate: passes changes of spec and the start of a deletion; drops resyncs, labels, annotations, status.

    Only for types whose API server counts generations: an object without one never passes.
    """
    if change.old is None or change.new is None:
        return True
    before, after = ((obj.get("metadata") or {}).get("generation") for obj in (change.old, change.new))
    return before != after


class EnqueueingHandler:
    """The informer's event handler of one watch: predicate, mapper, priority, queue."""

    def __init__(self, mapper: Mapper, predicate: Predicate | None, enqueue: Enqueue) -> None:
        self._mapper = mapper
        self._predicate = predicate
        self._enqueue = enqueue

    def on_add(self, obj: Object, is_initial: bool = False) -> None:
        self._handle(Change(None, obj), LOW_PRIORITY if is_initial else 0)

    def on_update(self, old: Object, new: Object) -> None:
        unchanged = resource_version_of(old) == resource_version_of(new)
        self._handle(Change(old, new), LOW_PRIORITY if unchanged else 0)

    def on_delete(self, obj: Object, final_state_unknown: bool = False) -> None:
        self._handle(Change(obj, None), 0)

    def _handle(self, change: Change, priority: int) -> None:
        if self._predicate is not None and not self._predicate(change):
            return
        requests = {request for obj in (change.old, change.new) if obj is not None for request in self._mapper(obj)}
        for request in sorted(requests) if len(requests) > 1 else requests:
            self._enqueue(request, priority)
