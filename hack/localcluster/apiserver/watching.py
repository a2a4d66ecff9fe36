"""Watches: initial events, resume from a resourceVersion, bookmarks, deadlines, and 410 once history is compacted away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import orjson

from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.reading import invalid_options, resource_version, selection, whole_number
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.selectors import Predicate
from hack.localcluster.apiserver.store import Store, StoredChange, Subscription
from hack.localcluster.apiserver.views import View

_BOOKMARK_BEFORE_END_S = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a watch stream, with what fault rules match on."""

    event: str
    namespace: str
    name: str
    rv: int
    data: bytes


class Watch:
    """One watch request. `lines` yields batches until the deadline, the client or the store ends the stream."""

    def __init__(
        self,
        store: Store,
        kind: ResourceType,
        namespace: str,
        name: str,
        query: Mapping[str, str],
        view: View,
        bookmark_interval_s: float,
    ) -> None:
        self.sends_initial = _check_initial(query)
        whole_number(query, "limit")
        self.store = store
        self.kind = kind
        self.namespace = namespace if kind.namespaced else ""
        self.chosen: Predicate | None = selection(kind, query, name)
        self.view = view
        self.bookmarks = query.get("allowWatchBookmarks", "").lower() in ("1", "true")
        self.rv = resource_version(query)
        self.interval_s = bookmark_interval_s
        self.timeout_s = max(0, whole_number(query, "timeoutSeconds")) or random.uniform(1800, 3600)

    def opening(self) -> tuple[Subscription, list[Line]]:
        """Subscribe, and what is to be sent at once. 410 is raised when the resourceVersion is compacted away."""
        collection = self.store.collection(self.kind.storage)
        if self.rv and not self.sends_initial:
            lines = self._lines(collection.since(self.rv))
        elif self.sends_initial is False:
            lines = []
        else:
            lines = self._initial()
        subscription = Subscription()
        collection.subscriptions.add(subscription)
        return subscription, lines

    def _initial(self) -> list[Line]:
        entries = self.store.collection(self.kind.storage).select(self.namespace)
        lines = [
            Line(
                "ADDED",
                entry.obj["metadata"].get("namespace", ""),
                entry.obj["metadata"]["name"],
                entry.rv,
                self.view.line("ADDED", entry),
            )
            for entry in entries
            if self.chosen is None or self.chosen(self.kind.served_form(entry.obj))
        ]
        if self.sends_initial and self.bookmarks:
            lines.append(self.bookmark(initial_events_end=True))
        return lines

    def bookmark(self, *, initial_events_end: bool = False) -> Line:
        """A bookmark of now."""
        data = self.view.bookmark(self.store.rv, initial_events_end=initial_events_end)
        return Line("BOOKMARK", "", "", self.store.rv, data)

    def replay(self, rv: int) -> list[Line]:
        """The lines since an older resourceVersion, for a fault that sends the past again."""
        return self._lines(self.store.collection(self.kind.storage).since(rv))

    async def lines(self, subscription: Subscription) -> AsyncIterator[list[Line]]:
        """Batches of lines after the opening ones."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.timeout_s
        last_words = self.bookmarks and self.timeout_s > 2 * _BOOKMARK_BEFORE_END_S
        next_bookmark = loop.time() + self.interval_s
        while not subscription.closed and loop.time() < end:
            due = end
            if self.bookmarks:
                due = min(due, next_bookmark)
            if last_words:
                due = min(due, end - _BOOKMARK_BEFORE_END_S)
            timer = loop.call_at(due, subscription.wake.set)
            try:
                await subscription.wake.wait()
            finally:
                timer.cancel()
            subscription.wake.clear()
            changes = list(subscription.pending)
            subscription.pending.clear()
            batch = self._lines(changes)
            now = loop.time()
            if self.bookmarks and now >= next_bookmark:
                batch.append(self.bookmark())
                next_bookmark = now + self.interval_s
            elif last_words and now >= end - _BOOKMARK_BEFORE_END_S:
                batch.append(self.bookmark())
                last_words = False
            if batch:
                yield batch

    def close(self, subscription: Subscription) -> None:
        """Unsubscribe."""
        self.store.collection(self.kind.storage).subscriptions.discard(subscription)

    def _lines(self, changes: list[StoredChange]) -> list[Line]:
        lines = []
        for change in changes:
            if self.namespace and change.key[0] != self.namespace:
                continue
            if self.rv is not None and change.rv <= self.rv:
                continue
            event = self._event(change)
            if event:
                lines.append(Line(event, change.key[0], change.key[1], change.rv, self.view.frame(change, event)))
        return lines

    def _event(self, change: StoredChange) -> str | None:
        """What a change is to this watcher: objects come and go as they start and stop fitting the selector."""
        chosen = self.chosen
        if chosen is None:
            return change.event
        now = change.event != "DELETED" and chosen(self.kind.served_form(change.entry.obj))
        before = change.previous is not None and chosen(self.kind.served_form(change.previous.obj))
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None


def _check_initial(query: Mapping[str, str]) -> bool | None:
    asked, match = query.get("sendInitialEvents", ""), query.get("resourceVersionMatch", "")
    if query.get("continue"):
        raise invalid_options(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"
        )
    if not asked:
        if match:
            raise invalid_options(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            )
        return None
    if match != "NotOlderThan":
        raise invalid_options(
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        )
    return asked.lower() in ("1", "true")


def error_line(error: StatusError) -> bytes:
    """An ERROR line; the stream ends after it."""
    return orjson.dumps({"type": "ERROR", "object": error.to_status()}) + b"\n"
