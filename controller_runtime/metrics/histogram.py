"""A histogram cheap enough for the hot path of the work queue.

The prometheus_client one takes a lock per observation; this one is counted under the lock that its owner holds anyway, and is turned
into metric samples when somebody scrapes (`metrics.WorkQueueCollector`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Histogram:
    """Counts per bucket (upper bounds inclusive, plus one for +Inf) and the sum. Not thread-safe: the owner locks."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """Observations at or below each bound, the last one for +Inf: what Prometheus calls buckets."""
        running = 0
        return [running := running + count for count in self.counts]

    def copy(self) -> Histogram:
        twin = Histogram(self.bounds)
        twin.counts = list(self.counts)
        twin.total = self.total
        return twin
