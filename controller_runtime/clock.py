"""The one place that reads the time.

Everything that measures, waits or stamps takes a `Clock`, so that a test can move hours in a microsecond and a wall clock
that is stepped by an administrator cannot shorten a timeout: durations come from `monotonic`, stamps from `now`, and the two are
never mixed. Nothing else in the project may call `time` or `datetime.now`; the linter enforces it.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time as the rest of the project sees it."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back, not affected by wall-clock steps."""

    def now(self) -> datetime:
        """The wall clock, timezone-aware UTC. For stamps shown to people, never for measuring."""

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        """Wait on a condition the caller holds; False when `timeout_s` seconds of this clock passed without a notify."""

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        """Wait until the event is set; False when `timeout_s` seconds of this clock passed first."""


class SystemClock:
    """The real time."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        return condition.wait(timeout_s)

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        return event.wait(timeout_s)


SYSTEM_CLOCK = SystemClock()


def rfc3339(moment: datetime) -> str:
    """`2026-01-02T03:04:05Z`: how `metav1.Time` is written (UTC, second precision)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(moment: datetime) -> str:
    """`2026-01-02T03:04:05.000006Z`: how `metav1.MicroTime` (Leases, Events) is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """Read a `metav1.Time` or `metav1.MicroTime`; raises ValueError on anything else, such as a moment that has no UTC form."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} carries no zone; RFC 3339 asks for one, such as a trailing Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"time {text!r} lies outside the years 1 to 9999 in UTC") from None
