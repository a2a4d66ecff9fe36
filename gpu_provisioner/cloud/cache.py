"""What we believe about each pool, and how old that belief is.

Reconciles are woken far more often than a pool changes; this view answers them from memory while it is fresh enough and asks the cloud
otherwise: for one pool with GET, and with one LIST as soon as several are wanted, so that fifty pools in creation cost as much as one.
It also knows what was just done here: a pool whose create was accepted is not "gone" because a GET a second later misses it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from gpu_provisioner.cloud.port import DELETING, AgentPools, NotFound, Pool, PoolSpec

LIST_FROM = 3
"""From this many pools asked for within one poll interval on, they are read with one LIST."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A pool (None: not there) as it was seen at a monotonic time."""

    pool: Pool | None
    seen_at: float


class PoolView:
    """The only caller of the AgentPools port. Thread-safe; at most one LIST at a time."""

    def __init__(
        self,
        pools: AgentPools,
        *,
        clock: Clock = SYSTEM_CLOCK,
        poll_s: float = 10.0,
        settle_s: float = 60.0,
    ) -> None:
        """`settle_s`: how long after an accepted create a missing pool is put down to Azure's eventual consistency."""
        self._pools = pools
        self._clock = clock
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._sights: dict[str, Sight] = {}
        self._created: dict[str, tuple[Pool, float]] = {}
        self._asked: dict[str, float] = {}
        self._listed_at = float("-inf")

    def look(self, name: str, max_age_s: float) -> Pool | None:
        """The pool, seen at most `max_age_s` ago; None when there is none. Raises CloudError when the cloud cannot be asked."""
        asked_at = self._clock.monotonic()
        crowded = self._is_crowded(name, asked_at)
        known = self._sights.get(name)
        if known is not None and asked_at - known.seen_at <= max_age_s:
            return known.pool
        if crowded:
            self._list_since(asked_at - min(max_age_s, self._poll_s) / 2)
        else:
            self._read(name)
        return self._sights[name].pool if name in self._sights else None

    def peek(self, name: str) -> Sight | None:
        """What is remembered, without asking."""
        return self._sights.get(name)

    def read_all(self) -> list[Pool]:
        """All pools, asked for now."""
        with self._listing:
            return self._list()

    def create(self, spec: PoolSpec) -> Pool:
        """Order a pool; see AgentPools.create. Whatever was believed of that name is dropped, as the reply may get lost."""
        self._drop(spec.name)
        pool = self._pools.create(spec)
        with self._lock:
            now = self._clock.monotonic()
            self._created[spec.name] = (pool, now)
            self._sights[spec.name] = Sight(pool, now)
        return pool

    def delete(self, pool: Pool) -> None:
        """Delete exactly this pool, as it was seen. A pool that is gone already counts as deleted."""
        self._drop(pool.name)
        with self._lock:
            self._created.pop(pool.name, None)
        try:
            self._pools.delete(pool.name, etag=pool.etag)
        except NotFound:
            self._see(pool.name, None)
        else:
            self._see(pool.name, replace(pool, provisioning_state=DELETING))

    def forget(self, name: str) -> None:
        """Nobody needs this pool any more."""
        with self._lock:
            for memory in (self._sights, self._created, self._asked):
                memory.pop(name, None)

    def _is_crowded(self, name: str, now: float) -> bool:
        with self._lock:
            self._asked = {n: at for n, at in self._asked.items() if now - at <= self._poll_s}
            self._asked[name] = now
            return len(self._asked) >= LIST_FROM

    def _read(self, name: str) -> None:
        self._drop(name)
        try:
            self._see(name, self._pools.get(name))
        except NotFound:
            self._see(name, None)

    def _list_since(self, moment: float) -> None:
        """One LIST for everybody who waits for one; `moment` is how old a LIST by another thread may be."""
        with self._listing:
            if self._listed_at < moment:
                self._list()

    def _list(self) -> list[Pool]:
        started = self._clock.monotonic()
        found = {pool.name: pool for pool in self._pools.list()}
        with self._lock:
            for name in {*self._sights, *self._asked, *found}:
                known = self._sights.get(name)
                if known is None or known.seen_at <= started:
                    self._put(name, found.get(name), started)
            self._listed_at = started
        return list(found.values())

    def _see(self, name: str, pool: Pool | None) -> None:
        with self._lock:
            self._put(name, pool, self._clock.monotonic())

    def _put(self, name: str, pool: Pool | None, now: float) -> None:
        created = self._created.get(name)
        if pool is not None or created is None:
            self._created.pop(name, None)
        elif now - created[1] <= self._settle_s:
            pool = created[0]
        self._sights[name] = Sight(pool, now)

    def _drop(self, name: str) -> None:
        with self._lock:
            self._sights.pop(name, None)
