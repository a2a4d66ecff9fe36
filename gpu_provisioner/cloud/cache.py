"""What we believe about each pool, how old that belief is, and how much it proves.

Reconciles are woken far more often than a pool changes; this view answers them from memory while it is fresh enough and asks the cloud
otherwise: for one pool with GET, and with one LIST as soon as several are wanted, so that fifty pools in creation cost as much as one.

"Not seen" and "gone" are different answers here. Only a GET that began after everything that was done to a name can prove that there
is no pool: a LIST comes in pages and misses a pool when others leave between two of them, an order that was accepted may not be
visible yet, and one whose reply was lost, or that a process before this one sent, may still arrive.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from gpu_provisioner.cloud.port import (
    DELETING,
    BudgetSpent,
    Busy,
    CloudError,
    Gone,
    Missed,
    NodePools,
    Pool,
    PoolNotFound,
    PoolSpec,
    Present,
    Sight,
    Unknown,
)

LIST_FROM = 3
"""From this many pools asked for within one poll interval on, they are read with one LIST."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """An answer of the cloud to a question that was put at a monotonic time."""

    sight: Sight
    at: float
    by_get: bool = False


@dataclass(frozen=True, slots=True)
class _Order:
    """A create that was sent and that no read has shown yet. `pool` is its reply; None when that was lost."""

    pool: Pool | None
    at: float


class PoolView:
    """The only caller of the NodePools port. Thread-safe; at most one LIST at a time."""

    def __init__(
        self,
        pools: NodePools,
        *,
        clock: Clock = SYSTEM_CLOCK,
        poll_s: float = 10.0,
        settle_s: float = 60.0,
        withdraw: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """`settle_s`: how long after an order a missing pool is put down to the cloud's eventual consistency. `withdraw` is told the
        name of a pool whose order waits for its turn and will not come."""
        self.withdraw = withdraw
        self._pools = pools
        self._clock = clock
        self._poll_s = poll_s
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._began_at = clock.monotonic()
        self._seen: dict[str, _Seen] = {}
        self._orders: dict[str, _Order] = {}
        self._acted_at: dict[str, float] = {}
        self._known: set[str] = set()
        self._asked: dict[str, float] = {}
        self._listed_at = float("-inf")

    def look(self, name: str, max_age_s: float, *, proof: bool = False) -> Sight:
        """What is known of the pool, seen at most `max_age_s` ago. Raises CloudError when the cloud cannot be asked.

        `proof`: the caller needs to tell Gone from Missed, so that a pool that a list does not hold is asked for by name.
        """
        asked_at = self._clock.monotonic()
        crowded = self._is_crowded(name, asked_at)
        if not self._is_fresh(name, asked_at - max_age_s):
            if crowded:
                self._list_since(self._not_before(name, asked_at - min(max_age_s, self._poll_s) / 2))
            else:
                self._read(name)
        seen = self._seen.get(name)
        if proof and (seen is None or (isinstance(seen.sight, Missed) and not seen.by_get)):
            self._read(name)
        return self.peek(name)

    def peek(self, name: str) -> Sight:
        """What is remembered, however old, without asking."""
        seen = self._seen.get(name)
        return seen.sight if seen is not None else Missed()

    def read_all(self) -> list[Pool]:
        """All pools, asked for now."""
        with self._listing:
            return self._list()

    def create(self, spec: PoolSpec) -> Pool:
        """Order a pool; see NodePools.create. After a lost reply the pool counts as possible until it has had time to appear."""
        self._act(spec.name)
        try:
            pool = self._pools.create(spec)
        except BudgetSpent:
            raise
        except CloudError as error:
            self._refused(spec.name, error)
            raise
        now = self._clock.monotonic()
        self._act(spec.name, order=_Order(pool, now), seen=_Seen(Present(pool), now))
        return pool

    def delete(self, pool: Pool) -> None:
        """Delete exactly this pool, as it was seen. A pool that is gone already counts as deleted.

        What was known is kept until the cloud has accepted: a refusal, such as that of a pool in creation, says that it is there.
        """
        self._act(pool.name)
        try:
            self._pools.delete(pool.name, etag=pool.etag)
        except (BudgetSpent, Busy):
            raise
        except PoolNotFound:
            self._drop(pool.name)
        except CloudError:
            self._drop(pool.name)
            raise
        else:
            deleting = Present(replace(pool, provisioning_state=DELETING))
            self._act(pool.name, seen=_Seen(deleting, self._clock.monotonic()))

    def forget(self, name: str) -> None:
        """Nobody needs this pool any more."""
        with self._lock:
            for memory in (self._seen, self._orders, self._asked, self._acted_at):
                memory.pop(name, None)
            self._known.discard(name)

    # asking

    def _is_crowded(self, name: str, now: float) -> bool:
        with self._lock:
            self._asked = {n: at for n, at in self._asked.items() if now - at <= self._poll_s}
            self._asked[name] = now
            return len(self._asked) >= LIST_FROM

    def _is_fresh(self, name: str, since: float) -> bool:
        seen = self._seen.get(name)
        return seen is not None and seen.at >= since

    def _not_before(self, name: str, moment: float) -> float:
        """A list from before the last action says nothing about its outcome."""
        return max(moment, self._acted_at.get(name, moment))

    def _read(self, name: str) -> None:
        began = self._clock.monotonic()
        try:
            pool = self._pools.get(name)
        except PoolNotFound:
            with self._lock:
                self._note(name, None, began, by_get=True)
        else:
            with self._lock:
                self._note(name, pool, began, by_get=True)

    def _list_since(self, moment: float) -> None:
        """One LIST for everybody who waits for one; `moment` is how old a LIST by another thread may be."""
        with self._listing:
            if self._listed_at < moment:
                self._list()

    def _list(self) -> list[Pool]:
        began = self._clock.monotonic()
        found = {pool.name: pool for pool in self._pools.list()}
        with self._lock:
            for name, pool in found.items():
                self._note(name, pool, began)
            for name in {*self._seen, *self._asked} - found.keys():
                self._note(name, None, began)
            self._forget_unasked(found.keys(), began)
            self._listed_at = began
        return list(found.values())

    def _forget_unasked(self, found: Collection[str], began: float) -> None:
        """Pools that are gone and of which nobody has said so, because their Machine was taken away by force.

        Only long after the last action: from then on a name that is forgotten and one that never was are told from each other by nothing.
        """
        if began - self._began_at <= self._settle_s:
            return
        now = self._clock.monotonic()
        self._asked = {n: at for n, at in self._asked.items() if now - at <= self._poll_s}
        old = {n for n, at in self._acted_at.items() if began - at > self._settle_s}
        unasked = {*self._seen, *self._known, *old} - {*found, *self._asked} - (self._acted_at.keys() - old)
        for name in unasked:
            if self._pending_order(name) is None:
                for memory in (self._seen, self._acted_at):
                    memory.pop(name, None)
                self._known.discard(name)

    # remembering

    def _note(self, name: str, pool: Pool | None, began: float, *, by_get: bool = False) -> None:
        """An answer came to a question put at `began`; it is void if something was done to the pool, or a newer answer came, since."""
        seen = self._seen.get(name)
        if began < self._acted_at.get(name, began) or (seen is not None and seen.at > began):
            return
        if pool is not None:
            self._orders.pop(name, None)
            self._known.add(name)
        self._seen[name] = _Seen(
            Present(pool) if pool is not None else self._absent(name, began, by_get), began, by_get
        )

    def _absent(self, name: str, began: float, by_get: bool) -> Sight:
        order = self._pending_order(name)
        if order is not None and order.pool is not None:
            return Present(order.pool)
        return Gone() if by_get and order is None and not self._may_be_ordered_before(name, began) else Missed()

    def _pending_order(self, name: str) -> _Order | None:
        order = self._orders.get(name)
        if order is not None and self._clock.monotonic() - order.at > self._settle_s:
            del self._orders[name]
            return None
        return order

    def _may_be_ordered_before(self, name: str, now: float) -> bool:
        """A name that this process knows nothing of: the one before it may have sent an order with its last breath."""
        return name not in self._known and now - self._began_at < self._settle_s

    def _refused(self, name: str, error: CloudError) -> None:
        """An order did not succeed: either it was refused for good, or nobody knows whether it was taken."""
        if isinstance(error, Unknown):
            self._act(name, order=_Order(None, self._clock.monotonic()))
        else:
            self._act(name)
            self._known.add(name)
        self._drop(name)

    def _act(self, name: str, *, order: _Order | None = None, seen: _Seen | None = None) -> None:
        """Something was done to this pool just now, with what is known of its outcome."""
        with self._lock:
            self._acted_at[name] = self._clock.monotonic()
            if order is not None:
                self._orders[name] = order
            if seen is not None:
                self._seen[name] = seen
                self._forget_reply_of_deleted(name, seen)

    def _forget_reply_of_deleted(self, name: str, seen: _Seen) -> None:
        """A pool that is being deleted is not there because it was ordered, but may still appear if it never did."""
        order = self._orders.get(name)
        if order is not None and isinstance(seen.sight, Present) and seen.sight.pool.is_deleting:
            self._orders[name] = _Order(None, order.at)

    def _drop(self, name: str) -> None:
        with self._lock:
            self._seen.pop(name, None)
