"""How long one reconcile may take, so that no object can keep the workers from the others.

A reconcile that passes the budget is named in the log and counted while it still runs; nothing can end it from outside. Once it has
ended, its key rests for three times as long as it took, whatever wakes it: however many such objects there are, a quarter of the
workers' time is the most that each gets.
"""

from __future__ import annotations

import threading

from controller_runtime.clock import Clock
from controller_runtime.controller.reconcile import Request
from controller_runtime.logs import get_logger
from controller_runtime.metrics.registry import BoundControllerMetrics
from controller_runtime.queue.workqueue import WorkQueue

BUDGET_S = 30.0
REST_FACTOR = 3.0
LONGEST_REST_S = 600.0

log = get_logger(__name__)


class Budget:
    """One for each controller. Thread-safe."""

    def __init__(
        self, controller: str, queue: WorkQueue[Request], metrics: BoundControllerMetrics, clock: Clock, budget_s: float
    ) -> None:
        self._controller = controller
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._budget_s = budget_s
        self._lock = threading.Lock()
        self._resting: dict[Request, float] = {}

    def watch(self, stop: threading.Event) -> None:
        """Look again and again until `stop`."""
        while not self._clock.wait_event(stop, self._budget_s / 2):
            self.look()

    def look(self) -> None:
        """Name and count what has passed the budget since the last look."""
        for request in self._queue.newly_overdue(self._budget_s):
            self._metrics.timeouts.inc()
            log.warning(
                "a reconcile takes longer than its budget",
                controller=self._controller,
                namespace=request.namespace,
                name=request.name,
                budget_s=self._budget_s,
            )

    def spent(self, request: Request, seconds: float) -> None:
        """A reconcile has ended after so long."""
        with self._lock:
            if seconds <= self._budget_s:
                self._resting.pop(request, None)
                return
            rest_s = min(REST_FACTOR * seconds, LONGEST_REST_S)
            self._resting[request] = self._clock.monotonic() + rest_s
        log.warning(
            "a reconcile passed its budget; the object rests", took_s=round(seconds, 1), rest_s=round(rest_s, 1)
        )

    def rest_s(self, request: Request) -> float:
        """Seconds that this key has still to rest."""
        with self._lock:
            until = self._resting.get(request)
            left_s = 0.0 if until is None else until - self._clock.monotonic()
            if left_s <= 0:
                self._resting.pop(request, None)
            return max(0.0, left_s)
