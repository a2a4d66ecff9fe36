"""Which ready key comes next: one FIFO per priority, the highest first, and old ones do not starve.

Part of the work queue, which holds the lock. A FIFO may hold leftovers (items whose key was raised to another FIFO); they are recognised by
identity against the queue's own table and skipped, because searching a FIFO for one item would cost more than it saves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True, eq=False)
class Item(Generic[K]):
    """A dirty key. `added_at` counts for the metrics, `ready_at` for ageing."""

    key: K
    priority: int
    added_at: float
    ready_at: float


class PriorityQueue(Generic[K]):
    """The ready keys of a queue. `dirty` is the queue's table of current items; what it does not point to is a leftover."""

    def __init__(self, dirty: Mapping[K, Item[K]], ageing_limit_s: float) -> None:
        self._dirty = dirty
        self._ageing_limit_s = ageing_limit_s
        self._fifos: list[tuple[int, deque[Item[K]]]] = []

    def push(self, item: Item[K]) -> None:
        """To the end of its class."""
        for priority, fifo in self._fifos:
            if priority == item.priority:
                fifo.append(item)
                return
        self._fifos.append((item.priority, deque([item])))
        self._fifos.sort(key=lambda entry: -entry[0])

    def pop(self, now: float) -> Item[K] | None:
        """The head of the best FIFO: highest priority, aged keys counting as priority 0 and then by age."""
        best: tuple[int, float] | None = None
        chosen: deque[Item[K]] | None = None
        for priority, fifo in self._fifos:
            item = self._head(fifo)
            if item is None:
                continue
            aged = priority < 0 and now - item.ready_at >= self._ageing_limit_s
            rank = (0 if aged else -priority, item.ready_at)
            if best is None or rank < best:
                best, chosen = rank, fifo
        return chosen.popleft() if chosen is not None else None

    def clear(self) -> None:
        self._fifos.clear()

    def _head(self, fifo: deque[Item[K]]) -> Item[K] | None:
        while fifo:
            item = fifo[0]
            if self._dirty.get(item.key) is item:
                return item
            fifo.popleft()
        return None
