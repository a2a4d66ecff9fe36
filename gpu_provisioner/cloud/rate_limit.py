"""One gate in front of all cloud calls: a request budget, and one shared answer to "not now".

Clouds count requests by account, so that one Machine that is told 429 speaks for all of them: the gate closes for as long as the
cloud asked, for everybody. It closes in the same way, with growing pauses, when the cloud cannot be reached at all. Nobody waits here: a
closed gate or a spent budget raises BudgetSpent with the time to come back. That time is honest: it is the one at which the caller's place
in the queue is reached (`turns.py`), so that a thousand who wait do not ask a thousand times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from controller_runtime.backoff import Backoff, TokenBucket
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import (
    BudgetSpent,
    CloudError,
    NodePools,
    Pool,
    PoolSpec,
    Throttled,
    TurnAwaited,
    Unknown,
)
from gpu_provisioner.cloud.turns import Turn, TurnQueue

T = TypeVar("T")

NOT_LEADING_PAUSE_S = 5.0
LATE_S = 5.0
"""So long after the time that it was told a place is kept for who does not come."""

CallObserver = Callable[[str, float, CloudError | None], None]
"""Told of every call that was sent: method, seconds, error or None."""


class Gate:
    """A token bucket that can be closed. Thread-safe."""

    def __init__(
        self,
        *,
        requests_per_s: float = 5.0,
        burst: int = 100,
        throttled_pause_s: float = 30.0,
        outage_pause_s: float = 1.0,
        outage_pause_max_s: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = requests_per_s
        self._bucket = TokenBucket(requests_per_s, burst, clock.monotonic())
        self._closed_until = clock.monotonic()
        self._why = ""
        self._queue = TurnQueue()
        self._burst = burst
        self._throttled_pause_s = throttled_pause_s
        self._outage = Backoff(outage_pause_s, outage_pause_max_s, jitter=0.2)

    def enter(self, turn: Turn) -> None:
        """Spend one request. Raises BudgetSpent (an order: TurnAwaited) when it is not this one's turn, or the gate is closed."""
        now = self._clock.monotonic()
        with self._lock:
            self._queue.drop_late(now)
            if now < self._closed_until:
                wait_s = self._closed_until - now
                self._queue.hold(turn, now + wait_s + LATE_S)
                raise BudgetSpent(self._closed_text(), retry_after_s=wait_s)
            # A full bucket has nobody to be kept for: those who are before did not come.
            wait_s = self._bucket.wait_s(now, min(1 + self._queue.ahead(turn), self._burst))
            if wait_s:
                self._queue.hold(turn, now + wait_s + LATE_S)
                raise self._not_yet(turn, wait_s)
            self._bucket.take(now)
            self._queue.served(turn)

    def leave(self, name: str) -> None:
        """The order of that pool will not come: its place is free for others."""
        with self._lock:
            self._queue.withdraw(name)

    def _not_yet(self, turn: Turn, wait_s: float) -> BudgetSpent:
        spent = f"the budget of {self._rate:g} requests per second is used up"
        if turn.owner is None:
            return BudgetSpent(spent, retry_after_s=wait_s)
        text = f"{CLOUD.pool} {turn.key} is not ordered yet, as {spent}; namespaces take turns"
        return TurnAwaited(text, retry_after_s=wait_s)

    def succeeded(self) -> None:
        """The cloud answered sensibly: an outage, if there was one, is over."""
        with self._lock:
            self._outage.reset()
            self._why = ""

    def failed(self, error: CloudError) -> None:
        """Close when the error speaks for every caller."""
        with self._lock:
            if isinstance(error, Throttled):
                self._close(error.retry_after_s or self._throttled_pause_s, error)
            elif isinstance(error, Unknown) and (error.status is None or error.status in (502, 503, 504)):
                self._close(max(self._outage.next(), error.retry_after_s or 0.0), error)

    def _close(self, seconds: float, why: CloudError) -> None:
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)
        self._why = why.message

    def _closed_text(self) -> str:
        return f"paused after: {self._why}" if self._why else "paused"


class GatedPools:
    """NodePools behind a gate; every call that is sent is timed and told to `observer`."""

    def __init__(
        self,
        pools: NodePools,
        gate: Gate,
        *,
        may_write: Callable[[], bool] = lambda: True,
        clock: Clock = SYSTEM_CLOCK,
        observer: CallObserver | None = None,
    ) -> None:
        """`may_write` is asked before every create and delete: a process that has lost the Lease must not change a pool."""
        self._pools = pools
        self._gate = gate
        self._clock = clock
        self._may_write = may_write
        self._observer = observer or (lambda _method, _seconds, _error: None)

    def get(self, name: str) -> Pool:
        return self._through("Get", Turn(f"get {name}"), lambda: self._pools.get(name))

    def list(self) -> list[Pool]:
        return self._through("List", Turn("list"), self._pools.list)

    def create(self, spec: PoolSpec) -> Pool:
        self._check_leadership()
        return self._through("Create", Turn(spec.name, spec.owner), lambda: self._pools.create(spec))

    def delete(self, name: str, *, etag: str = "") -> None:
        self._check_leadership()
        self._through("Delete", Turn(f"delete {name}"), lambda: self._pools.delete(name, etag=etag))

    def _check_leadership(self) -> None:
        if not self._may_write():
            raise BudgetSpent("this process does not hold the leader lease", retry_after_s=NOT_LEADING_PAUSE_S)

    def _through(self, method: str, turn: Turn, call: Callable[[], T]) -> T:
        self._gate.enter(turn)
        started = self._clock.monotonic()
        try:
            result = call()
        except CloudError as error:
            self._observer(method, self._clock.monotonic() - started, error)
            self._gate.failed(error)
            raise
        self._observer(method, self._clock.monotonic() - started, None)
        self._gate.succeeded()
        return result
