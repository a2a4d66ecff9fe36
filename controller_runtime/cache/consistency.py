"""What this process wrote and its caches do not show yet: wait for it before deciding again.

Derived names and preconditions already make a decision on old news harmless; this makes it rare, and with it the refused creates and
conflicting patches that would otherwise follow each write. A cache that stays behind for long is not waited for: the server was
restored from a backup, or its versions cannot be compared. All of it may be lost at any moment; a new process has written nothing yet.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.resources import Resource

PATIENCE_S = 10.0
LOOK_AGAIN_S = 0.05
"""When to come back to a key whose writes are not visible; the event that brings them will often be earlier."""


class Versioned(Protocol):
    """What is asked of a cache."""

    def has_seen(self, resource_version: str) -> bool: ...


class Consistency:
    """resourceVersions of our writes by the UID of the object on whose behalf they were made. Thread-safe."""

    def __init__(self, caches: Mapping[Resource, Versioned], clock: Clock = SYSTEM_CLOCK) -> None:
        """Writes of a resource without a cache are not waited for."""
        self._caches = caches
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[str, tuple[float, dict[Resource, str]]] = {}

    def note(self, uid: str, written: Iterable[tuple[Resource, str]]) -> None:
        """These (resource, resourceVersion) were written on behalf of `uid`."""
        fresh = {resource: version for resource, version in written if version and resource in self._caches}
        if not fresh:
            return
        with self._lock:
            _, known = self._pending.get(uid, (0.0, {}))
            self._pending[uid] = (self._clock.monotonic() + PATIENCE_S, {**known, **fresh})

    def are_visible(self, uid: str) -> bool:
        """True when the caches show all of them, or it is no use waiting."""
        with self._lock:
            deadline, known = self._pending.get(uid, (0.0, {}))
            late = {r: v for r, v in known.items() if not self._caches[r].has_seen(v)}
            if late and self._clock.monotonic() < deadline:
                self._pending[uid] = (deadline, late)
                return False
            self._pending.pop(uid, None)
            return True

    def forget(self, uid: str) -> None:
        """The object is gone."""
        with self._lock:
            self._pending.pop(uid, None)

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget all but these, so that a missed deletion leaks nothing."""
        with self._lock:
            self._pending = {uid: entry for uid, entry in self._pending.items() if uid in uids}

    def __len__(self) -> int:
        return len(self._pending)
