"""How many requests this process may have in flight.

`AdaptiveGate` is always on and normally wide open: each 429 halves the number of requests in flight, each success widens it again by
a little (additive increase, multiplicative decrease, as TCP does). There is no limit of requests per second: API servers have priority
and fairness. Retry-After is not obeyed here: that is for the one who retries, who learns it from the error.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import TooManyRequests

GATE_CEILING = 64.0


class AdaptiveGate:
    """At most `width` requests in flight; the width follows what the server can take."""

    def __init__(self, ceiling: float = GATE_CEILING, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._ceiling = ceiling
        self._clock = clock
        self._condition = threading.Condition()
        self._width = ceiling
        self._in_flight = 0

    @property
    def width(self) -> float:
        """Requests allowed in flight at this moment."""
        return self._width

    @contextmanager
    def slot(self, patience_s: float) -> Iterator[None]:
        """Hold one of the places; `TooManyRequests` when none came free in `patience_s`."""
        self._enter(patience_s)
        try:
            yield
        finally:
            with self._condition:
                self._in_flight -= 1
                self._condition.notify()

    def shrink(self) -> None:
        """The server said 429."""
        with self._condition:
            self._width = max(1.0, self._width / 2)

    def grow(self) -> None:
        """The server served a request."""
        if self._width >= self._ceiling:
            return
        with self._condition:
            self._width = min(self._ceiling, self._width + 1 / self._width)
            self._condition.notify()

    def _enter(self, patience_s: float) -> None:
        deadline = self._clock.monotonic() + patience_s
        with self._condition:
            while self._in_flight >= int(self._width):
                remaining_s = deadline - self._clock.monotonic()
                if remaining_s <= 0:
                    raise TooManyRequests(
                        f"{self._in_flight} requests are in flight and the server asked for fewer; none ended in {patience_s:g} s"
                    )
                self._clock.wait(self._condition, remaining_s)
            self._in_flight += 1
