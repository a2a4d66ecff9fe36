"""A clock for loops that pause: a pause takes no time, is remembered, and moves the clock by its length.

Unlike `FakeClock` nobody has to advance it, so a reflector meets a whole outage in a moment. Conditions are waited for in real time.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

MAX_PAUSES = 500


class JumpingClock:
    """Implements `controller_runtime.clock.Clock`."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._now_s = 1000.0

    def monotonic(self) -> float:
        return self._now_s

    def now(self) -> datetime:
        return datetime(2026, 1, 2, tzinfo=UTC) + timedelta(seconds=self._now_s)

    def advance(self, seconds: float) -> None:
        self._now_s += seconds

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        return condition.wait(timeout_s)

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        self.pauses.append(timeout_s or 0.0)
        self._now_s += timeout_s or 0.0
        # A loop that pauses this often is not getting anywhere; let it rest so that the test can say so.
        return event.wait() if len(self.pauses) >= MAX_PAUSES else event.is_set()
