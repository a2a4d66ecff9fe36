"""Request budgets of the subscription: the x-ms-ratelimit headers that every ARM reply carries, and 429 when a budget is used up.

Off by default (the headers count down from Azure's figures and start again). With a limit set, the bucket refills evenly over its window.
"""

from __future__ import annotations

import math
import threading

from controller_runtime.clock import SYSTEM_CLOCK, Clock

_SHOWN_BUDGETS = {"reads": 11999, "writes": 1199, "deletes": 14999}


class Throttle:
    """One token bucket for each of reads, writes and deletes."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limits: dict[str, tuple[int, float]] = {}
        self._tokens: dict[str, tuple[float, float]] = {}
        self._spent: dict[str, int] = {}

    def limit(self, kind: str, burst: int, window_s: float) -> None:
        """Allow `burst` requests of a kind (reads, writes, deletes), refilled over `window_s` real seconds."""
        if kind not in _SHOWN_BUDGETS:
            raise ValueError(f"kind={kind!r}: choose reads, writes or deletes")
        with self._lock:
            self._limits[kind] = (burst, window_s)
            self._tokens[kind] = (float(burst), self._clock.monotonic())

    def take(self, kind: str) -> tuple[int, float | None]:
        """Spend one request: what remains, and the seconds to wait when there was none left (None when it was granted)."""
        with self._lock:
            if kind not in self._limits:
                self._spent[kind] = self._spent.get(kind, 0) + 1
                return _SHOWN_BUDGETS[kind] - self._spent[kind] % _SHOWN_BUDGETS[kind], None
            burst, window_s = self._limits[kind]
            tokens, since = self._tokens[kind]
            now = self._clock.monotonic()
            tokens = min(float(burst), tokens + (now - since) * burst / window_s)
            if tokens < 1:
                self._tokens[kind] = (tokens, now)
                return 0, (1 - tokens) * window_s / burst
            self._tokens[kind] = (tokens - 1, now)
            return math.floor(tokens - 1), None
