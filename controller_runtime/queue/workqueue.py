"""The queue between events and workers: each key at most once in it, and never with two workers at the same time.

A key is *dirty* when it needs a run, *held* while a worker has it, *waiting* while its delay runs. Adding a dirty key changes
nothing (at most it raises the priority); adding a held key makes it dirty, and `done` queues it again. That is the whole reason why
a controller may be told about an object a thousand times and look at it once.

Words and behaviour are those of client-go's queues and of controller-runtime's priority queue, with these differences:
low priorities age and cannot starve; queued keys are still handed out after `shut_down` unless it is `hard`; a drain waits for
queued *and* held keys, ends at its deadline and names what is left; delays need no timer thread, because the workers that
wait in `get` wake up when the next delay ends.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from itertools import accumulate, repeat
from operator import mul
from typing import Generic, TypeVar

from controller_runtime.backoff import ItemExponentialLimiter, Limiter
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.metrics.families import QueueStats, Tally
from controller_runtime.queue.delaying import DelayingQueue
from controller_runtime.queue.priority import Item, PriorityQueue

LOW_PRIORITY = -100
"""For keys of the initial list and of resyncs, so that a user's change overtakes them."""

AGEING_LIMIT_S = 30.0
"""After this long in the queue, a key below priority 0 counts as priority 0."""

# Multiplied up one by one, as upstream does it: rounding and all, so that the bounds are the very same numbers.
DURATION_BUCKETS = tuple(accumulate(repeat(10.0, 11), mul, initial=1e-8))

K = TypeVar("K", bound=Hashable)


class ShutDown(Exception):
    """The queue is shut down and has nothing more to hand out; the worker ends."""


@dataclass(slots=True)
class _Held:
    since: float
    priority: int
    overdue: bool = False


class WorkQueue(Generic[K]):
    """See the module. All methods are thread-safe; none blocks except `get` and a draining `shut_down`."""

    def __init__(
        self,
        name: str = "",
        *,
        limiter: Limiter | None = None,
        clock: Clock = SYSTEM_CLOCK,
        ageing_limit_s: float = AGEING_LIMIT_S,
        strict: bool = False,
    ) -> None:
        """`limiter` defaults to per-key exponential backoff, 5 ms to 1000 s. `strict` (tests) makes a stray `done` an error."""
        self.name = name
        self._limiter = ItemExponentialLimiter() if limiter is None else limiter
        self._clock = clock
        self._strict = strict
        # A plain Lock: re-entrance would only hide a mistake, and it is faster than the default RLock.
        self._condition = threading.Condition(threading.Lock())
        self._dirty: dict[K, Item[K]] = {}
        self._held: dict[K, _Held] = {}
        self._ready: PriorityQueue[K] = PriorityQueue(self._dirty, ageing_limit_s)
        self._delayed: DelayingQueue[K] = DelayingQueue()
        self._shutting_down = False
        self._draining = False
        self._adds = 0
        self._retries = 0
        self._depth: dict[int, int] = {0: 0}
        self._queue_duration = Tally(DURATION_BUCKETS)
        self._work_duration = Tally(DURATION_BUCKETS)

    def add(self, key: K, *, priority: int = 0, after_s: float | None = None, rate_limited: bool = False) -> None:
        """Ask for a run of `key`, now or after a delay; ignored once shutting down.

        `rate_limited` takes the limiter's delay (and counts a failure); together with `after_s` the smaller one holds. The
        earliest wish wins: a delay never postpones a key, and "now" ends its delay. The higher priority wins too.
        """
        delay_s = after_s or 0.0
        if rate_limited and not self._shutting_down:
            limited_s = self._limiter.when(key)
            delay_s = limited_s if after_s is None else min(after_s, limited_s)
        with self._condition:
            if self._shutting_down:
                return
            now = self._clock.monotonic()
            if delay_s <= 0:
                self._make_dirty(key, priority, now)
                return
            self._retries += 1
            if key in self._dirty:
                self._raise_priority(key, priority)
            else:
                if self._delayed.put(key, priority, now + delay_s):
                    self._wake()

    def get(self, timeout_s: float | None = None) -> K | None:
        """Take the next key, which its worker gives back with `done`. None when `timeout_s` passed; raises ShutDown at the end."""
        with self._condition:
            now = self._clock.monotonic()
            deadline = None if timeout_s is None else now + timeout_s
            while True:
                self._promote(now)
                item = self._ready.pop(now)
                if item is not None:
                    return self._hand_out(item, now)
                if self._shutting_down:
                    raise ShutDown(self.name)
                if deadline is not None and now >= deadline:
                    return None
                self._clock.wait(self._condition, self._until_next(now, deadline))
                now = self._clock.monotonic()

    def done(self, key: K) -> None:
        """Give a key back. If it became dirty meanwhile it is queued again, at the tail."""
        with self._condition:
            held = self._held.pop(key, None)
            if held is None:
                if self._strict:
                    raise ValueError(f"done({key!r}): no worker holds that key")
                return
            now = self._clock.monotonic()
            self._work_duration.observe(now - held.since)
            item = self._dirty.get(key)
            if item is not None:
                item.ready_at = now
                self._ready.push(item)
            if item is not None or self._draining:
                self._wake()

    def forget(self, key: K) -> None:
        """The key succeeded, or is given up: its next failure starts again with the shortest delay. Does not touch the queue."""
        self._limiter.forget(key)

    def num_requeues(self, key: K) -> int:
        """Failures since the last `forget`."""
        return self._limiter.num_requeues(key)

    def next_delay_s(self, key: K) -> float:
        """The limiter's delay, counted as a failure, for callers that combine it with another bound (such as Retry-After)."""
        return self._limiter.when(key)

    def priority_of(self, key: K) -> int:
        """The priority that a held key was taken with (0 when not held), which a requeue keeps."""
        held = self._held.get(key)
        return held.priority if held is not None else 0

    def held(self) -> dict[K, float]:
        """Keys that workers have now, with the seconds since they took them."""
        with self._condition:
            now = self._clock.monotonic()
            return {key: now - held.since for key, held in self._held.items()}

    def newly_overdue(self, limit_s: float) -> list[K]:
        """Keys that a worker has had for longer than `limit_s`, each of them once per hold, so that overstays can be counted."""
        with self._condition:
            now = self._clock.monotonic()
            late = [key for key, held in self._held.items() if not held.overdue and now - held.since > limit_s]
            for key in late:
                self._held[key].overdue = True
            return late

    def __len__(self) -> int:
        """Keys ready to be handed out; not those held or waiting."""
        with self._condition:
            self._promote(self._clock.monotonic())
            return len(self._dirty) - sum(1 for key in self._held if key in self._dirty)

    def shut_down(self, *, drain: bool = False, deadline_s: float | None = None, hard: bool = False) -> list[K]:
        """Refuse further keys and drop waiting ones; queued keys are still handed out, except when `hard`.

        With `drain`, block until nothing is queued or held, at most `deadline_s` seconds. Returns the keys then still held.
        A second call is harmless, and one without `drain` ends the wait of an earlier one.
        """
        with self._condition:
            self._shutting_down = True
            self._draining = drain
            self._delayed.clear()
            if hard:
                self._dirty.clear()
                self._ready.clear()
                self._depth = dict.fromkeys(self._depth, 0)
            self._condition.notify_all()
            deadline = None if deadline_s is None else self._clock.monotonic() + deadline_s
            while self._draining and (self._held or self._dirty):
                remaining = None if deadline is None else deadline - self._clock.monotonic()
                if remaining is not None and remaining <= 0:
                    break
                self._clock.wait(self._condition, remaining)
            return list(self._held)

    @property
    def is_shutting_down(self) -> bool:
        return self._shutting_down

    def stats(self) -> QueueStats:
        """A consistent picture for the metrics endpoint, computed when asked and therefore never stale."""
        with self._condition:
            now = self._clock.monotonic()
            self._promote(now)
            ages = [now - held.since for held in self._held.values()]
            return QueueStats(
                depth=dict(self._depth),
                adds=self._adds,
                retries=self._retries,
                unfinished_s=sum(ages),
                longest_running_s=max(ages, default=0.0),
                queue_duration=self._queue_duration.copy(),
                work_duration=self._work_duration.copy(),
            )

    # Everything below runs with the lock held.

    def _make_dirty(self, key: K, priority: int, now: float) -> None:
        waited_with = self._delayed.take(key)
        if waited_with is not None:
            priority = max(priority, waited_with)
        if key in self._dirty:
            self._raise_priority(key, priority)
            return
        item = Item(key, priority, now, now)
        self._dirty[key] = item
        self._adds += 1
        self._depth[priority] = self._depth.get(priority, 0) + 1
        if key not in self._held:
            self._ready.push(item)
            self._wake()

    def _raise_priority(self, key: K, priority: int) -> None:
        """To the end of the higher class; the old item stays in its FIFO as a leftover."""
        item = self._dirty[key]
        if priority <= item.priority:
            return
        self._depth[item.priority] -= 1
        self._depth[priority] = self._depth.get(priority, 0) + 1
        raised = Item(key, priority, item.added_at, item.ready_at)
        self._dirty[key] = raised
        if key not in self._held:
            self._ready.push(raised)

    def _promote(self, now: float) -> None:
        """Make the keys dirty whose delay is over."""
        next_due = self._delayed.next_due
        if next_due is None or next_due > now:
            return
        for key, priority in self._delayed.due(now):
            self._make_dirty(key, priority, now)

    def _hand_out(self, item: Item[K], now: float) -> K:
        del self._dirty[item.key]
        self._depth[item.priority] -= 1
        self._held[item.key] = _Held(now, item.priority)
        self._queue_duration.observe(now - item.added_at)
        return item.key

    def _until_next(self, now: float, deadline: float | None) -> float | None:
        ends = [end for end in (deadline, self._delayed.next_due) if end is not None]
        return max(0.0, min(ends) - now) if ends else None

    def _wake(self) -> None:
        """One waiter suffices for one key, but a drain waits on the same condition and must not swallow the call."""
        if self._draining:
            self._condition.notify_all()
        else:
            self._condition.notify()
