"""Keys that wait for their time: one wish per key, the earliest one, with the highest priority that was asked for.

Part of the work queue, which holds the lock and reads the clock. Keys that are taken out early leave dead entries in the heap; these are
skipped when their time comes and swept out when they outnumber the living, since a delay may be hours long.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True, eq=False)
class _Wish:
    due: float
    serial: int
    priority: int


class DelayingQueue(Generic[K]):
    """See the module. Times are on the queue's monotonic clock."""

    def __init__(self) -> None:
        self._wishes: dict[K, _Wish] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def put(self, key: K, priority: int, due: float) -> bool:
        """Note a wish; a later one than the known does not postpone it. True when `key` is now the first to come."""
        known = self._wishes.get(key)
        if known is not None:
            known.priority = max(known.priority, priority)
            if known.due <= due:
                return False
            priority = known.priority
        self._serial += 1
        self._wishes[key] = _Wish(due, self._serial, priority)
        heapq.heappush(self._heap, (due, self._serial, key))
        if len(self._heap) > 2 * len(self._wishes) + 64:
            self._sweep()
        return self._heap[0][2] == key

    def take(self, key: K) -> int | None:
        """End the key's wait; the priority it was asked for with, None when it was not waiting."""
        wish = self._wishes.pop(key, None)
        return None if wish is None else wish.priority

    def due(self, now: float) -> Iterator[tuple[K, int]]:
        """Keys whose time has come, in its order, with their priority; they wait no longer."""
        while self._heap and self._heap[0][0] <= now:
            _, serial, key = heapq.heappop(self._heap)
            wish = self._wishes.get(key)
            if wish is not None and wish.serial == serial:
                del self._wishes[key]
                yield key, wish.priority

    @property
    def next_due(self) -> float | None:
        """When to look again; may be the time of a dead entry, which costs one look."""
        return self._heap[0][0] if self._heap else None

    def clear(self) -> None:
        self._wishes.clear()
        self._heap.clear()

    def __len__(self) -> int:
        """Entries kept, dead ones included, so that a test can see that they are swept out."""
        return len(self._heap)

    def _sweep(self) -> None:
        self._heap = [(wish.due, wish.serial, key) for key, wish in self._wishes.items()]
        heapq.heapify(self._heap)
