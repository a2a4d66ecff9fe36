"""Which ready key comes next: one first-in-first-out lane per priority, the highest first, and old ones do not starve.

Part of the work queue, which holds the lock. A lane may hold leftovers (items whose key was raised to another lane); they are recognised by
identity against the queue's own table and skipped, because searching a lane for one item would cost more than it saves.
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


class Lanes(Generic[K]):
    """The ready keys of a queue. `dirty` is the queue's table of current items; what it does not point to is a leftover."""

    def __init__(self, dirty: Mapping[K, Item[K]], ageing_limit_s: float) -> None:
        self._dirty = dirty
        self._ageing_limit_s = ageing_limit_s
        self._lanes: list[tuple[int, deque[Item[K]]]] = []

    def push(self, item: Item[K]) -> None:
        """To the end of its class."""
        for priority, lane in self._lanes:
            if priority == item.priority:
                lane.append(item)
                return
        self._lanes.append((item.priority, deque([item])))
        self._lanes.sort(key=lambda entry: -entry[0])

    def pop(self, now: float) -> Item[K] | None:
        """The head of the best lane: highest priority, aged keys counting as priority 0 and then by age."""
        best: tuple[int, float] | None = None
        chosen: deque[Item[K]] | None = None
        for priority, lane in self._lanes:
            item = self._head(lane)
            if item is None:
                continue
            aged = priority < 0 and now - item.ready_at >= self._ageing_limit_s
            rank = (0 if aged else -priority, item.ready_at)
            if best is None or rank < best:
                best, chosen = rank, lane
        return chosen.popleft() if chosen is not None else None

    def clear(self) -> None:
        self._lanes.clear()

    def _head(self, lane: deque[Item[K]]) -> Item[K] | None:
        while lane:
            item = lane[0]
            if self._dirty.get(item.key) is item:
                return item
            lane.popleft()
        return None
