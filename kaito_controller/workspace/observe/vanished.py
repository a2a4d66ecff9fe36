"""Orders that somebody deleted so fast that no reconcile saw them go.

Karpenter deletes a NodeClaim that the cloud has no capacity for as soon as it is told so, and nothing keeps the object for longer. Without
its trace the same attempt would be made again at once, and again, without end. What is noticed here counts as a failed attempt, once. The
memory may be lost: one more attempt is then made.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime

from controller_runtime.clock import rfc3339
from controller_runtime.controller.controller import Change
from controller_runtime.resources import Object, annotations_of, name_of, uid_of
from controller_runtime.untrusted import integer
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.records import MOST_ATTEMPTS, Attempts

MOST = 10_000
"""Orders that are remembered; the oldest are forgotten first."""


class Vanished:
    """By UID of the Workspace. Thread-safe: informers write, all workers read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone: dict[str, tuple[str, Object]] = {}
        """By UID of the order: the UID of its Workspace, and what was last known of it."""
        self._dismissed: set[str] = set()

    def notice(self, change: Change) -> bool:
        """A predicate of the watch of orders: remembers those that are gone, and lets every change pass."""
        if change.new is None and change.old is not None:
            owner = annotations_of(change.old).get(naming.WORKSPACE_UID)
            with self._lock:
                if uid_of(change.old) in self._dismissed:
                    self._dismissed.discard(uid_of(change.old))
                elif owner:
                    self._gone[uid_of(change.old)] = (owner, change.old)
                    while len(self._gone) > MOST:
                        self._gone.pop(next(iter(self._gone)))
        return True

    def dismiss(self, uids: Iterable[str]) -> None:
        """We delete these orders ourselves, so that their end is no failure."""
        with self._lock:
            self._dismissed.update(uids)

    def of(self, workspace_uid: str, attempts: Attempts, now: datetime) -> list[Object]:
        """Orders of the Workspace whose end is not on record yet, as being deleted."""
        with self._lock:
            mine = {uid: obj for uid, (owner, obj) in self._gone.items() if owner == workspace_uid}
            for uid, obj in mine.items():
                if _is_on_record(obj, attempts):
                    self._gone.pop(uid)
        left = [obj for uid, obj in mine.items() if not _is_on_record(obj, attempts)]
        return [_deleted(obj, now) for obj in sorted(left, key=name_of)]

    def forget(self, workspace_uid: str) -> None:
        """The Workspace is gone."""
        with self._lock:
            self._gone = {uid: found for uid, found in self._gone.items() if found[0] != workspace_uid}


def _is_on_record(order: Object, attempts: Attempts) -> bool:
    marks = annotations_of(order)
    ordinal, attempt = (_number(marks, key) for key in (naming.MACHINE_ORDINAL, naming.MACHINE_ATTEMPT))
    record = attempts.get(ordinal)
    return ordinal < 0 or (record is not None and record.next_attempt > attempt)


def _number(marks: Mapping[str, str], key: str) -> int:
    return integer(marks.get(key), least=-1, most=MOST_ATTEMPTS, default=-1)


def _deleted(order: Object, now: datetime) -> Object:
    metadata = {**order["metadata"]}
    metadata.setdefault("deletionTimestamp", rfc3339(now))
    return {**order, "metadata": metadata}
