"""Things that happen later: one thread, one heap, and the one factor that all durations of localcluster are divided by.

The cloud and the kubelets describe the world in realistic seconds; `Timeline.after` scales them. Callbacks must be short (change a
state, add a key to a queue), because one thread runs them all; whatever may block belongs in a worker of the caller's own.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

import structlog

from controller_runtime.clock import SYSTEM_CLOCK, Clock

log = structlog.get_logger("localcluster.timeline")


class Timeline:
    """Scaled, cancellable timers. `time_scale` 60 makes a minute of the simulated world take a second."""

    def __init__(self, time_scale: float = 1.0, clock: Clock = SYSTEM_CLOCK) -> None:
        if not time_scale > 0:
            raise ValueError(f"time_scale={time_scale}: give a factor above 0, such as 1 (realistic) or 60 (demo)")
        self.time_scale = time_scale
        self.clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._cancelled: set[int] = set()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def scaled(self, seconds: float) -> float:
        """Real seconds that `seconds` of the simulated world take."""
        return seconds / self.time_scale

    def after(self, seconds: float, callback: Callable[[], None]) -> int:
        """Run `callback` in `seconds` of the simulated world; returns a ticket for `cancel`."""
        with self._condition:
            ticket = next(self._order)
            heapq.heappush(self._due, (self.clock.monotonic() + self.scaled(seconds), ticket, callback))
            self._condition.notify()
        return ticket

    def cancel(self, ticket: int) -> None:
        """Take back a callback that has not run yet; harmless otherwise."""
        with self._condition:
            if any(entry[1] == ticket for entry in self._due):
                self._cancelled.add(ticket)

    def start(self) -> None:
        """Start the thread."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; what is not due yet never happens."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(5.0)

    def run_due(self) -> None:
        """Run what is due now, in the caller's thread: how tests with a fake clock step the world."""
        while (callback := self._pop_due()) is not None:
            try:
                callback()
            except Exception:
                log.exception("a timer's callback failed")

    def _pop_due(self) -> Callable[[], None] | None:
        with self._condition:
            while self._due and self._due[0][0] <= self.clock.monotonic():
                _, ticket, callback = heapq.heappop(self._due)
                if ticket not in self._cancelled:
                    return callback
                self._cancelled.discard(ticket)
            return None

    def _run(self) -> None:
        while True:
            self.run_due()
            with self._condition:
                if self._stopping:
                    return
                if self._due and self._due[0][0] <= self.clock.monotonic():
                    continue
                pause = self._due[0][0] - self.clock.monotonic() if self._due else None
                self.clock.wait(self._condition, pause)
