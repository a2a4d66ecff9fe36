"""Since when what no object in the cluster dates: an absence, and a failure of an order that is still in progress.

Kept in memory: after a restart an absence counts anew, and a failure is dated by its condition. Thread-safe: all workers share it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView


class Absences:
    """Since when something has been missing, by the UID that it belongs to and its own name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, dict[str, datetime]] = {}

    def since(self, uid: str, missing: Iterable[str], now: datetime) -> dict[str, datetime]:
        """Exactly these are missing now; what was not missing before is missing since `now`."""
        with self._lock:
            known = self._since.pop(uid, {})
            found = {name: known.get(name, now) for name in missing}
            if found:
                self._since[uid] = found
            return dict(found)

    def none(self, uid: str) -> dict[str, datetime]:
        """Whether anything is missing is not known: what was missing before is counted anew once it is."""
        self.forget(uid)
        return {}

    def forget(self, uid: str) -> None:
        with self._lock:
            self._since.pop(uid, None)


class Onsets:
    """When orders that are in progress began to say what they say.

    The `lastTransitionTime` of such a condition tells it only where it moves with the reason, as in Azure's program. By the convention of
    Kubernetes it stands still while a step that was in progress (False) fails (False), and is about the creation of the order.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, tuple[str, datetime | None]]] = {}
        """By the UID of the Workspace and of the order: its reason, and the moment when it was seen to become so."""

    def dated(self, uid: str, orders: Iterable[MachineView], now: datetime) -> tuple[MachineView, ...]:
        """The orders of a Workspace; `since` is when the reason was seen to change, and what the condition says where that was not seen."""
        found = tuple(orders)
        with self._lock:
            known = self._known.pop(uid, {})
            seen = {order.uid: _seen(order, known.get(order.uid), now) for order in found}
            if seen:
                self._known[uid] = seen
        return tuple(_dated(order, seen[order.uid][1]) for order in found)

    def forget(self, uid: str) -> None:
        """The Workspace is gone."""
        with self._lock:
            self._known.pop(uid, None)


def _seen(order: MachineView, before: tuple[str, datetime | None] | None, now: datetime) -> tuple[str, datetime | None]:
    if before is None:
        return order.reason, None
    return before if before[0] == order.reason else (order.reason, now)


def _dated(order: MachineView, onset: datetime | None) -> MachineView:
    """Other phases are dated by what cannot move: a deletion, or a status that flipped."""
    return order if onset is None or order.phase is not MachinePhase.PENDING else replace(order, since=onset)
