"""Who may generate now, when requests want different adapters.

The active adapter is a property of the whole loaded model, so jobs with different ones cannot run in one batch. They take turns: all
waiting jobs of the adapter whose first job has waited longest go together; a job that comes while others wait for another adapter waits for
its own next turn. So nobody starves, and with one adapter in use nobody waits at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager

Switch = Callable[[Hashable], Awaitable[None]]


class Turns:
    """Lets at most `width` holders of one and the same key in; `switch(key)` runs before the key changes, with nobody in."""

    def __init__(self, switch: Switch, width: int) -> None:
        self._switch = switch
        self._width = width
        self._key: Hashable = None
        self._inside = 0
        self._switching = False
        self._waiting: deque[tuple[Hashable, asyncio.Future[None]]] = deque()

    @property
    def running(self) -> int:
        """How many are in."""
        return self._inside

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(not entry.done() for _, entry in self._waiting)

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        """Waits for a place, and holds it."""
        entry: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, entry))
        try:
            await self._admit()
            await entry
        except BaseException:
            # Cancelled while waiting; when the place was granted at the same moment, it is given back.
            if entry.done() and not entry.cancelled() and entry.exception() is None:
                self._inside -= 1
            entry.cancel()
            await self._admit()
            raise
        try:
            yield
        finally:
            self._inside -= 1
            await self._admit()

    async def _admit(self) -> None:
        """Lets in whoever may; changes the key when nobody is in and the next in line wants another."""
        if self._switching:
            return
        while waiting := self._live():
            wanted = waiting[0][0]
            if wanted != self._key:
                if self._inside:
                    return
                await self._change(wanted)
                continue
            if not self._let_in():
                return

    def _live(self) -> deque[tuple[Hashable, asyncio.Future[None]]]:
        self._waiting = deque((key, entry) for key, entry in self._waiting if not entry.done())
        return self._waiting

    def _let_in(self) -> bool:
        """Lets in what waits for the current key, as far as there is room; False when none could go in."""
        let_in = 0
        for key, entry in self._waiting:
            if key == self._key and self._inside < self._width and not entry.done():
                entry.set_result(None)
                self._inside += 1
                let_in += 1
        return let_in > 0

    async def _change(self, key: Hashable) -> None:
        self._switching = True
        try:
            await self._switch(key)
            self._key = key
        finally:
            self._switching = False
