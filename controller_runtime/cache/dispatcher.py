"""Bringing an informer's changes to one handler, on a thread of its own.

A handler sees its changes one after another and in order. It cannot hurt anybody else: its exceptions are logged and counted, and
when it is slow its buffer is coalesced, not grown. Coalescing merges the updates of one object into its newest state (first
old, last new), which is all that a level-triggered handler needs; adds and deletes are always delivered, so that a buffer holds
at most two entries for each object (UID) that lived while the handler was busy.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from controller_runtime.cache.store import Delta
from controller_runtime.clock import Clock
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object

COALESCE_AT = 1024
BATCH = 256
MIN_RESYNC_S = 1.0

_log = get_logger(__name__)


class EventHandler(Protocol):
    """Who wants to know what changed. Objects are shared with the cache: read them, never write into them."""

    def on_add(self, obj: Object, is_initial: bool) -> None:
        """`is_initial`: the object was there when the informer, or this handler, started."""

    def on_update(self, old: Object, new: Object) -> None:
        """Same object (UID). Equal resourceVersions mean a resync: nothing changed, look again if you like."""

    def on_delete(self, obj: Object, final_state_unknown: bool) -> None:
        """`final_state_unknown`: the deletion was missed; `obj` is the last known state and may be old."""


class Dispatcher:
    """One handler's buffer and thread."""

    def __init__(
        self,
        handler: EventHandler,
        *,
        name: str,
        clock: Clock,
        resync_period_s: float = 0.0,
        resync: Callable[[Dispatcher], None] | None = None,
    ) -> None:
        self.failures = 0
        self.coalesced = 0
        self._handler = handler
        self._name = name
        self._clock = clock
        self._period_s = max(resync_period_s, MIN_RESYNC_S) if resync_period_s > 0 and resync is not None else 0.0
        self._resync = resync
        self._resync_at = clock.monotonic() + self._period_s
        self._condition = threading.Condition()
        self._pending: deque[Delta | None] = deque()
        self._coalesce_at = COALESCE_AT
        self._synced = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"deliver-{name}", daemon=True)

    @property
    def has_synced(self) -> bool:
        """True once every object of the initial state was delivered."""
        return self._synced.is_set()

    def start(self) -> None:
        """Begin to deliver; harmless when already begun or stopped."""
        with self._condition:
            if not self._closed and self._thread.ident is None:
                self._thread.start()

    def push(self, changes: Iterable[Delta], *, end_of_initial: bool = False) -> None:
        """Hand over changes; never blocks on the handler."""
        with self._condition:
            if self._closed:
                return
            self._pending.extend(changes)
            if end_of_initial:
                self._pending.append(None)
            if len(self._pending) > self._coalesce_at:
                self._coalesce()
            self._condition.notify()

    def close(self, *, drain: bool, timeout_s: float = 0.0) -> bool:
        """Stop; with `drain` what is buffered is still delivered. False when the handler was not done in time."""
        with self._condition:
            self._closed = True
            if not drain:
                self._pending.clear()
            self._condition.notify_all()
        if self._thread.ident is None or self._thread is threading.current_thread():
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def __len__(self) -> int:
        """Changes waiting for the handler."""
        return len(self._pending)

    def _run(self) -> None:
        while batch := self._take():
            for change in batch:
                if change is None:
                    self._synced.set()
                else:
                    self._deliver(change)

    def _take(self) -> list[Delta | None]:
        """The next changes; empty only when closed."""
        while True:
            with self._condition:
                while not self._pending and not self._closed and not self._resync_is_due():
                    self._clock.wait(self._condition, self._until_resync_s())
                if self._pending or self._closed:
                    return [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
            self._resync_at = self._clock.monotonic() + self._period_s
            if self._resync is not None:
                # Without our lock: it takes the cache's lock, under which others push to us.
                self._resync(self)

    def _resync_is_due(self) -> bool:
        return self._period_s > 0 and self._clock.monotonic() >= self._resync_at

    def _until_resync_s(self) -> float | None:
        return max(0.0, self._resync_at - self._clock.monotonic()) if self._period_s > 0 else None

    def _deliver(self, change: Delta) -> None:
        old, new, flag = change
        try:
            if new is None:
                self._handler.on_delete(old, flag)  # type: ignore[arg-type]  # a change has at least one side
            elif old is None:
                self._handler.on_add(new, flag)
            else:
                self._handler.on_update(old, new)
        except BaseException:
            # Also SystemExit and the like: a thread that ended silently would leave a controller deaf.
            self.failures += 1
            _log.exception("an event handler failed; going on with the next event", handler=self._name)

    def _coalesce(self) -> None:
        before = len(self._pending)
        self._pending = coalesce(self._pending)
        self.coalesced += before - len(self._pending)
        # Doubling keeps the total work of coalescing linear when nothing can be merged.
        self._coalesce_at = max(COALESCE_AT, 2 * len(self._pending))


def coalesce(pending: Iterable[Delta | None]) -> deque[Delta | None]:
    """Merge each update into the add or update of the same object (UID) that waits before it."""
    merged: deque[Delta | None] = deque()
    places: dict[tuple[str, str, str], int] = {}
    for change in pending:
        if change is None:
            merged.append(None)
            continue
        old, new, _ = change
        identity = _identity(new or old or {})
        place = places.get(identity)
        waiting = merged[place] if place is not None else None
        if place is not None and waiting is not None and old is not None and new is not None:
            merged[place] = (waiting[0], new, waiting[2])
            continue
        if new is None:
            places.pop(identity, None)
        else:
            places[identity] = len(merged)
        merged.append(change)
    return merged


def _identity(obj: Object) -> tuple[str, str, str]:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"], metadata.get("uid", "")
