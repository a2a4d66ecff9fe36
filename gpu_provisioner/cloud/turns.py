"""Who is next when more requests are wanted than the budget has. A queue of places, without clock, lock or budget.

There are two queues. Looking at pools and deleting them is urgent and in order of arrival, so that giving back does not wait behind
ordering; one request in five is still for orders, or who makes and deletes Machines all the time would keep all others from getting one.
Orders take turns by owner, so that five hundred of one namespace do not make another's first one wait. Nobody is held here: a place is
kept by its key and the caller comes back; who does not come long after the time it was told has lost it.
"""

from __future__ import annotations

from dataclasses import dataclass

URGENT_PER_ORDER = 4
"""So many urgent requests go before one order that waits."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request that wants to be sent. `owner` None: urgent; else the order of that owner."""

    key: str
    owner: str | None = None


class TurnQueue:
    """Places of those who wait. Not thread-safe: who owns it locks."""

    def __init__(self) -> None:
        self._urgent: dict[str, float] = {}
        self._orders: dict[str, dict[str, float]] = {}
        """By owner, in order of their next turn; each queue in order of arrival, with the moment at which a place is lost."""
        self._streak = 0
        """Urgent requests since the last order."""

    def ahead(self, turn: Turn) -> int:
        """How many requests go before this one, whether it has a place yet or not."""
        if turn.owner is None:
            index = _index(self._urgent, turn.key)
            return index + min(self._waiting_orders(), (self._streak + index) // URGENT_PER_ORDER)
        orders = self._orders_ahead(turn.owner, turn.key)
        return orders + min(len(self._urgent), max(0, URGENT_PER_ORDER * (orders + 1) - self._streak))

    def _orders_ahead(self, owner: str, key: str) -> int:
        mine = before = _index(self._orders.get(owner, {}), key)
        passed = False
        for other, queue in self._orders.items():
            passed = passed or other == owner
            if other != owner:
                before += min(len(queue), mine if passed else mine + 1)
        return before

    def _waiting_orders(self) -> int:
        return sum(len(queue) for queue in self._orders.values())

    def hold(self, turn: Turn, until: float) -> None:
        """Keep the place, or take the last one of its queue, until that moment."""
        queue = self._urgent if turn.owner is None else self._orders.setdefault(turn.owner, {})
        queue[turn.key] = until

    def served(self, turn: Turn) -> None:
        """It was sent: the place is free, and its owner's next turn comes after everybody else's."""
        self.leave(turn)
        self._streak = 0 if turn.owner is not None else min(self._streak + 1, URGENT_PER_ORDER)
        if turn.owner is not None and turn.owner in self._orders:
            self._orders[turn.owner] = self._orders.pop(turn.owner)

    def leave(self, turn: Turn) -> None:
        """The place is not needed any more."""
        if turn.owner is None:
            self._urgent.pop(turn.key, None)
        elif (queue := self._orders.get(turn.owner)) is not None:
            queue.pop(turn.key, None)
            if not queue:
                del self._orders[turn.owner]

    def withdraw(self, key: str) -> None:
        """The order of that key, whoever's it is, will not come."""
        for owner in [owner for owner, queue in self._orders.items() if key in queue]:
            self.leave(Turn(key, owner))

    def drop_late(self, now: float) -> None:
        """Forget those who did not come in time."""
        queues: list[tuple[str | None, dict[str, float]]] = [(None, self._urgent), *self._orders.items()]
        late = [Turn(key, owner) for owner, queue in queues for key, until in queue.items() if until < now]
        for turn in late:
            self.leave(turn)

    def __len__(self) -> int:
        return len(self._urgent) + self._waiting_orders()


def _index(queue: dict[str, float], key: str) -> int:
    return list(queue).index(key) if key in queue else len(queue)
