"""What a controller has just done and its cache does not show yet.

Between a create and the watch event that brings it into the cache, a second look would miss the first child and make another one. A
controller that makes children with generated names therefore notes what it expects to see, and does nothing more for that owner until
it was seen. Children with names derived from their owner need none of this: the second create meets AlreadyExists.

An expectation that is not met in five minutes is given up (`satisfied` is True again): better a fresh look, which should then be a
live one, than an object that is stuck for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from controller_runtime.clock import SYSTEM_CLOCK, Clock

EXPIRY_S = 300.0


@dataclass(slots=True)
class _Expected:
    since_s: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """Per owner key: creations still to be seen, by number, and deletions, by UID. Thread-safe."""

    def __init__(self, *, expiry_s: float = EXPIRY_S, clock: Clock = SYSTEM_CLOCK) -> None:
        self._expiry_s = expiry_s
        self._clock = clock
        self._lock = threading.Lock()
        self._expected: dict[str, _Expected] = {}

    def expect_creations(self, key: str, count: int) -> None:
        """Call before creating `count` children, so that their events cannot come too early."""
        with self._lock:
            self._entry(key).creations += count

    def creation_observed(self, key: str) -> None:
        """A child was seen, or its creation failed and will never be seen."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None and expected.creations > 0:
                expected.creations -= 1

    def expect_deletions(self, key: str, uids: Iterable[str]) -> None:
        """Call before deleting children."""
        with self._lock:
            self._entry(key).deletions.update(uids)

    def deletion_observed(self, key: str, uid: str) -> None:
        """A child was seen deleted, or with its deletionTimestamp set, or its deletion failed. Counts once however often it is called."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is not None:
                expected.deletions.discard(uid)

    def satisfied(self, key: str) -> bool:
        """True when the cache shows everything this controller did for `key`, or five minutes have passed without it."""
        with self._lock:
            expected = self._expected.get(key)
            if expected is None:
                return True
            fulfilled = expected.creations == 0 and not expected.deletions
            if not fulfilled and self._clock.monotonic() - expected.since_s < self._expiry_s:
                return False
            del self._expected[key]
            return True

    def forget(self, key: str) -> None:
        """The owner is gone."""
        with self._lock:
            self._expected.pop(key, None)

    def _entry(self, key: str) -> _Expected:
        now = self._clock.monotonic()
        expected = self._expected.setdefault(key, _Expected(now))
        expected.since_s = now
        return expected
