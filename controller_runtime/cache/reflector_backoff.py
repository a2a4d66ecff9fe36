"""How long a reflector waits after each kind of failure.

The series is client-go's (0.8 s doubling to 30 s, each stretched by up to 100 %), with three differences: it starts over only after two
minutes without failure, so that a lasting outage stays at the slow end; it never waits less than the server asked for; and
repeated 410s, which usually hit many clients at once, are spread out and slowed down at once.

In a 30 s outage one reflector therefore makes at most 7 requests.
"""

from __future__ import annotations

import random
from collections import deque

from controller_runtime.backoff import Backoff
from controller_runtime.clock import Clock
from controller_runtime.errors import ApiError, Expired, NotFound

BASE_S = 0.8
CAP_S = 30.0
RESET_AFTER_S = 120.0
MAX_RETRY_AFTER_S = 300.0

MISSING_TYPE_CAP_S = 10.0
"""A 404 for a whole collection means that its CRD is not installed yet; whoever installs it is watching the clock."""

EXPIRED_WINDOW_S = 60.0
EXPIRED_SPREAD_S = 5.0
EXPIRED_LIMIT = 3


class ReflectorBackoff:
    """Not thread-safe: one reflector owns it."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self._clock = clock
        self._rng = rng
        self._backoff = Backoff(BASE_S, CAP_S, rng=rng)
        self._well_since: float | None = None
        self._expiries: deque[float] = deque(maxlen=EXPIRED_LIMIT)

    def note_success(self) -> None:
        """A list or the opening of a watch succeeded."""
        if self._well_since is None:
            self._well_since = self._clock.monotonic()

    def pause_s(self, error: ApiError | None) -> float:
        """Seconds to wait after a failure (None: a watch that was no use)."""
        now = self._clock.monotonic()
        if self._well_since is not None and now - self._well_since >= RESET_AFTER_S:
            self._backoff.reset()
        self._well_since = None
        extra_s = self._count_expiry(now) if isinstance(error, Expired) else 0.0
        pause_s = self._backoff.next() + extra_s
        if isinstance(error, NotFound):
            pause_s = min(pause_s, MISSING_TYPE_CAP_S * (1 + self._rng.random()))
        asked_s = error.retry_after_s if error is not None and error.retry_after_s else 0.0
        return max(pause_s, min(asked_s, MAX_RETRY_AFTER_S))

    def _count_expiry(self, now: float) -> float:
        self._expiries.append(now)
        recent = sum(1 for moment in self._expiries if now - moment <= EXPIRED_WINDOW_S)
        if recent >= EXPIRED_LIMIT:
            self._backoff.jump_to_cap()
        return self._rng.uniform(0, EXPIRED_SPREAD_S) if recent > 1 else 0.0
