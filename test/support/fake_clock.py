"""A clock that stands still until a test moves it.

`advance` moves both the monotonic and the wall clock and wakes every thread whose timeout has passed; `step_wall` moves the wall
clock alone, as an administrator or an NTP jump does. Threads under test wait for real notifications as usual.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeClock:
    """Implements `controller_runtime.clock.Clock`."""

    def __init__(self, start: datetime = START, monotonic_s: float = 1000.0) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._monotonic_s = monotonic_s
        self._wall = start
        self._waiters: dict[int, tuple[float, threading.Condition]] = {}
        self._serial = 0
        self._event_waiters = 0

    def monotonic(self) -> float:
        return self._monotonic_s

    def now(self) -> datetime:
        return self._wall

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass; threads that are due wake up (in their own time: wait for what they do, do not assume it)."""
        with self._lock:
            self._monotonic_s += seconds
            self._wall += timedelta(seconds=seconds)
            due = [condition for deadline, condition in self._waiters.values() if deadline <= self._monotonic_s]
            self._changed.notify_all()
        for condition in due:
            with condition:
                condition.notify_all()

    def step_wall(self, seconds: float) -> None:
        """Jump the wall clock only; no timeout may notice."""
        with self._lock:
            self._wall += timedelta(seconds=seconds)

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> bool:
        if timeout_s is None:
            return condition.wait()
        with self._lock:
            deadline = self._monotonic_s + timeout_s
            if timeout_s <= 0:
                return False
            self._serial += 1
            ticket = self._serial
            self._waiters[ticket] = (deadline, condition)
            self._changed.notify_all()
        try:
            # The caller holds the condition since before the registration, so `advance` cannot notify too early.
            condition.wait()
        finally:
            with self._lock:
                del self._waiters[ticket]
        return self._monotonic_s < deadline

    def wait_event(self, event: threading.Event, timeout_s: float | None) -> bool:
        if timeout_s is None:
            return event.wait()
        with self._lock:
            deadline = self._monotonic_s + timeout_s
            self._event_waiters += 1
            self._changed.notify_all()
        try:
            # An Event cannot be woken by the clock without being set, so its waiter looks at both every few milliseconds.
            while not event.wait(0.002):
                if self._monotonic_s >= deadline:
                    return event.is_set()
            return True
        finally:
            with self._lock:
                self._event_waiters -= 1

    def wait_for_waiters(self, count: int = 1, real_timeout_s: float = 10.0) -> None:
        """Block (in real time, bounded) until `count` threads sleep on this clock, so that an `advance` reaches them all."""
        deadline = time.monotonic() + real_timeout_s
        with self._lock:
            while len(self._waiters) + self._event_waiters < count:
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    found = len(self._waiters) + self._event_waiters
                    raise AssertionError(f"expected {count} threads waiting on the clock, found {found}")
                self._changed.wait(remaining)

    def wait_for_waiter_due(self, within_s: float, real_timeout_s: float = 10.0) -> None:
        """Block (in real time, bounded) until a thread sleeps that `within_s` seconds of this clock will wake."""
        deadline = time.monotonic() + real_timeout_s
        with self._lock:
            while not any(due <= self._monotonic_s + within_s for due, _ in self._waiters.values()):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no thread sleeps on the clock for {within_s:g} s or less")
