"""What is said of several instance types: which one is tried or was taken, and why the others were not. Pure.

Nothing is said where a Workspace names only one.
"""

from __future__ import annotations

from kaito_controller.api import reasons
from kaito_controller.workspace.decide.candidates import DEFERRED, CandidateStep, following
from kaito_controller.workspace.state.candidates import LISTED, QUOTED, Passed
from kaito_controller.workspace.state.records import shorten
from kaito_controller.workspace.state.snapshot import MachineView, Snapshot, Verdict


def stepped(step: CandidateStep) -> Verdict:
    """The next one is tried from now on."""
    return Verdict(
        reasons.NEXT_INSTANCE_TYPE, f"{_because(step.refused)} The next one is tried: {step.following.text}."
    )


def moving(snapshot: Snapshot, leaving: MachineView) -> Verdict:
    """The next one waits for an order of the former one to be gone."""
    return Verdict(
        reasons.NEXT_INSTANCE_TYPE,
        f"{snapshot.wanted.candidate.text} is tried next, once {leaving.kind} {leaving.name} is gone.{_others(snapshot)}",
    )


def told_of_types(snapshot: Snapshot) -> str:
    """To be added to a sentence about orders: the type, why the earlier ones were not taken, and what comes after it."""
    if len(snapshot.candidates) < 2:
        return ""
    place = next(
        (n for n, c in enumerate(snapshot.candidates, 1) if c.key == snapshot.wanted.candidate.key),
        len(snapshot.candidates),
    )
    of = f" Instance type {snapshot.wanted.candidate.text}, entry {place} of {len(snapshot.candidates)}."
    return f"{of}{_others(snapshot)}"


def last_one(snapshot: Snapshot) -> str:
    """Why no other one is tried although this one is refused; "" when one is, or when there is no other."""
    if len(snapshot.candidates) < 2 or following(snapshot) is not None:
        return ""
    if snapshot.type_in_use:
        return f" No other instance type is tried while nodes of {snapshot.wanted.candidate.text} are in use."
    return " No other entry in the list is left to try, so this one is awaited; the next attempt starts again with the first."


def _others(snapshot: Snapshot) -> str:
    """The order of the list counts, so that a type is compared with those before it, and with those that were tried in this round."""
    keys = [candidate.key for candidate in snapshot.candidates]
    here = keys.index(snapshot.wanted.candidate.key) if snapshot.wanted.candidate.key in keys else len(keys)
    told = [
        entry
        for entry in snapshot.passed
        if entry.candidate.key in keys
        and entry.candidate.key != snapshot.wanted.candidate.key
        and (not entry.former or keys.index(entry.candidate.key) < here)
    ]
    rest = len(told) - LISTED
    more = f" The same applies to {rest} more (status.record.passed)." if rest > 0 else ""
    return "".join(f" {_because(entry)}" for entry in told[:LISTED]) + more


def _because(entry: Passed) -> str:
    what = "is tried after the others" if entry.reason in DEFERRED else "could not be obtained"
    said = shorten(entry.message, QUOTED).rstrip(".")
    return f"{entry.candidate.text} {what}: {': '.join(filter(None, (entry.reason, said)))}."
