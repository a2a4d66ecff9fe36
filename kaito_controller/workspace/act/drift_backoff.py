"""How often an object that somebody changed is put back: at once, but not again and again against the same adversary.

Two kinds of them come back for ever. A webhook changes what we write before it is stored: the object as stored is then the best that
can be had, and is left alone until it changes again. Another controller (an autoscaler, say) undoes each repair a moment later: the same
change is then undone ever more rarely. A person's change is neither, and is put back at once.

What is remembered saves work only; after a restart each object is repaired once more.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller_runtime.clock import Clock
from controller_runtime.resources import Object, controller_of, labels_of, uid_of
from kaito_controller.workloads.revision import digest

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 300.0
FORGIVEN_AFTER_S = 3600.0
"""A change that has not come back for so long counts as a new one."""


@dataclass(frozen=True, slots=True)
class _Repair:
    """The last one of an object: what was found, what the server made of our write, when, and how often that was so."""

    found: str
    stored: str
    at_s: float
    times: int

    @property
    def pause_s(self) -> float:
        return float(min(FIRST_PAUSE_S * 2 ** min(self.times - 1, 16), LONGEST_PAUSE_S))


class DriftBackoff:
    """By UID of the object.

    One worker at a time handles the objects of a Workspace, and nothing here walks over everybody's entries: each step on the table is
    one that the interpreter does whole, so that no lock is needed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[str, _Repair] = {}
        self._of: dict[str, set[str]] = {}
        """What was ever put back, by the UID of its Workspace."""

    def due_in_s(self, live: Object) -> float | None:
        """Seconds until the object may be put back; None when writing it again would change nothing."""
        last = self._last.get(uid_of(live))
        if last is None:
            return 0.0
        content = _content(live)
        if content == last.stored:
            return None
        return max(0.0, last.at_s + last.pause_s - self._clock.monotonic()) if content == last.found else 0.0

    def note(self, live: Object, stored: Object) -> None:
        """`live` was put back, and the server stored this."""
        last, now = self._last.get(uid_of(live)), self._clock.monotonic()
        found = _content(live)
        again = last is not None and last.found == found and now - last.at_s < FORGIVEN_AFTER_S
        times = last.times + 1 if again and last is not None else 1
        self._of.setdefault(str((controller_of(stored) or {}).get("uid")), set()).add(uid_of(live))
        self._last[uid_of(live)] = _Repair(found, _content(stored), now, times)

    def forget(self, uid: str) -> None:
        """The object is gone."""
        self._last.pop(uid, None)

    def forget_all(self, workspace_uid: str) -> None:
        """The Workspace is gone, and what it controls goes by garbage collection."""
        for uid in self._of.pop(workspace_uid, ()):
            self.forget(uid)


def _content(obj: Object) -> str:
    """Identity of what a repair is about."""
    return digest([labels_of(obj), obj.get("spec"), obj.get("data")])
