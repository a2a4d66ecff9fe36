"""Wait for the caches to show what was just written, before deciding again.

Derived names and preconditions already make a decision on old news harmless; this makes it rare, and with it the refused creates and
conflicting patches that would otherwise follow each write. A cache that stays behind for long is not waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

from controller_runtime.clock import Clock
from controller_runtime.resources import Resource
from kaito_controller.workspace.observe.caches import Cache

PATIENCE_S = 10.0
LOOK_AGAIN_S = 0.05


class OwnWrites:
    """resourceVersions of our writes by Workspace UID. Thread-safe."""

    def __init__(self, caches: Mapping[Resource, Cache], clock: Clock) -> None:
        self._caches = caches
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[str, tuple[float, dict[Resource, str]]] = {}

    def note(self, uid: str, written: Iterable[tuple[Resource, str]]) -> None:
        """These were written on behalf of the Workspace `uid`."""
        fresh = {resource: version for resource, version in written if version}
        if not fresh:
            return
        with self._lock:
            _, known = self._pending.get(uid, (0.0, {}))
            self._pending[uid] = (self._clock.monotonic() + PATIENCE_S, {**known, **fresh})

    def are_visible(self, uid: str) -> bool:
        """True when the caches show all of them, or it is no use waiting."""
        with self._lock:
            deadline, known = self._pending.get(uid, (0.0, {}))
            late = {r: v for r, v in known.items() if r in self._caches and not self._caches[r].has_seen(v)}
            if late and self._clock.monotonic() < deadline:
                self._pending[uid] = (deadline, late)
                return False
            self._pending.pop(uid, None)
            return True

    def forget(self, uid: str) -> None:
        """The Workspace is gone."""
        with self._lock:
            self._pending.pop(uid, None)
