"""As what the nodes of a Workspace are ordered, where several instance types will do, and when the next one is tried. Pure.

The candidates are tried in their order. One that is refused for what it is (quota, capacity, not offered: `Reasons.unavailable` of the node
API) is passed over, on record, and the next one is ordered at once; that costs no attempt. One of which it is known beforehand that it will
hardly be had (no quota by the published offer, retired by its cloud) is put behind the others, since what is known may be old. The last one
is waited for like the only one of a Workspace without a list. When it fails, that is one failed attempt, and the next begins at the top.

All ordered nodes are of one type: pods of one model are told one set of flags. So the whole set moves on together while nothing runs on it,
and a running set grows by nodes of its own type only. It begins at the top again when none of its nodes is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kaito_controller.api import reasons
from kaito_controller.api.capacity import SPOT
from kaito_controller.catalog.model import Catalog, retirement_text
from kaito_controller.catalog.offer import InstanceOffer, shortage
from kaito_controller.workspace.decide.attempts import GONE, attempt_of
from kaito_controller.workspace.state.candidates import Candidate, Passed, with_passed
from kaito_controller.workspace.state.machines import SPOT_EVICTED, is_unavailable
from kaito_controller.workspace.state.records import Attempts, Failure, shorten
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, Snapshot

RETIRED = "InstanceTypeRetired"
DEFERRED = frozenset({reasons.QUOTA_SHORT.name, RETIRED})
"""Reasons why a candidate is put behind the others without having been tried."""

Doubts = Mapping[Candidate, tuple[str, str]]
"""Reason and message, by candidate."""


@dataclass(frozen=True, slots=True)
class CurrentCandidate:
    """What nodes are ordered as now."""

    candidate: Candidate
    passed: tuple[Passed, ...]
    """As is to be on record."""
    in_use: bool = False
    """Something runs on such nodes, so that it is not given up for another candidate."""


@dataclass(frozen=True, slots=True)
class CandidateStep:
    """From one candidate to the next."""

    refused: Passed
    following: Candidate
    passed: tuple[Passed, ...]
    failures: Mapping[int, Failure]
    """The attempts record: every place gets a new attempt, also one whose order is not seen yet."""


def doubts(candidates: Sequence[Candidate], catalog: Catalog, offer: InstanceOffer | None, nodes: int) -> Doubts:
    """Those that will hardly be had, by what is known without asking for them."""
    found: dict[Candidate, tuple[str, str]] = {}
    for candidate in candidates:
        known, is_spot = catalog.instance_type(candidate.instance_type), candidate.capacity_type == SPOT
        short = shortage(offer, candidate.instance_type, nodes, spot=is_spot)
        if known is not None and not known.current:
            found[candidate] = (RETIRED, retirement_text(known) or f"{known.name} is no current type")
        if short is not None:
            found[candidate] = (reasons.QUOTA_SHORT.name, short.message)
    return found


def choose(
    candidates: Sequence[Candidate],
    passed: tuple[Passed, ...],
    doubted: Doubts,
    now: datetime,
    *,
    machines: Iterable[MachineView] = (),
    attempts: Attempts | None = None,
    claimed: Iterable[Candidate] = (),
    runs: bool = False,
) -> CurrentCandidate:
    """`claimed`: what bring-your-own nodes in use are. `runs`: something has been built on the nodes."""
    alive = [m for m in machines if m.phase not in GONE and not _is_superseded(m, attempts or {})]
    used = [m.candidate for m in alive if m.initialized] + list(claimed)
    kept = (_first_match(candidates, used) or _of_type(candidates, used)) if runs else None
    if kept is not None:
        return CurrentCandidate(_after_eviction(kept, candidates, passed), passed, in_use=True)
    ordered = _first_match(candidates, [m.candidate for m in alive])
    return CurrentCandidate(ordered, passed) if ordered is not None else _next(candidates, passed, doubted, now)


def _after_eviction(kept: Candidate, candidates: Sequence[Candidate], passed: tuple[Passed, ...]) -> Candidate:
    """As what a node is ordered for a set that runs: on demand where a spot node of it was taken back and the author allows that."""
    known = _entry(kept, passed)
    if known is None or known.reason != SPOT_EVICTED:
        return kept
    same = (c for c in candidates if c.instance_type == kept.instance_type and _is_left(c, passed))
    return next(same, kept)


def _is_superseded(machine: MachineView, attempts: Attempts) -> bool:
    record = attempts.get(machine.ordinal) if machine.ordinal is not None else None
    return record is not None and attempt_of(machine) < record.next_attempt


def _first_match(candidates: Sequence[Candidate], found: Iterable[Candidate]) -> Candidate | None:
    """The candidate that the first one of `found` was ordered as; capacity types count where they are part of the choice."""
    for other in found:
        for candidate in candidates:
            if candidate.key in (other.key, Candidate(other.instance_type).key):
                return candidate
    return None


def _of_type(candidates: Sequence[Candidate], found: Iterable[Candidate]) -> Candidate | None:
    """Where the author has changed the capacity type since: a set is of one instance type, and need not be of one capacity type."""
    named = [other.instance_type.lower() for other in found]
    return next((c for c in candidates if c.instance_type.lower() in named), None)


def _next(
    candidates: Sequence[Candidate], passed: tuple[Passed, ...], doubted: Doubts, now: datetime
) -> CurrentCandidate:
    behind: list[Candidate] = []
    for candidate in candidates:
        known = _entry(candidate, passed)
        if known is None and len(candidates) > 1 and candidate in doubted:
            reason, message = doubted[candidate]
            passed = with_passed(passed, Passed(candidate, reason, shorten(message), now.replace(microsecond=0)))
            behind.append(candidate)
        elif known is None:
            return CurrentCandidate(candidate, passed)
        elif known.reason in DEFERRED:
            behind.append(candidate)
    left = [*(c for c in behind if c not in doubted), *behind, *candidates]
    return CurrentCandidate(left[0], passed)


def _entry(candidate: Candidate, passed: Iterable[Passed]) -> Passed | None:
    """Why it was passed over in this round."""
    return next((entry for entry in passed if not entry.former and entry.candidate.key == candidate.key), None)


def following(snapshot: Snapshot) -> Candidate | None:
    """What would be tried next; None when the present candidate is the last one of this round, or is in use."""
    if snapshot.type_in_use:
        return None
    others = [c for c in snapshot.candidates if c.key != snapshot.wanted.candidate.key]
    fresh = [c for c in others if _entry(c, snapshot.passed) is None]
    behind = [c for c in others if (known := _entry(c, snapshot.passed)) is not None and _may_be_tried(known, snapshot)]
    return next(iter((*fresh, *behind)), None)


def _may_be_tried(known: Passed, snapshot: Snapshot) -> bool:
    is_short = known.reason == reasons.QUOTA_SHORT.name
    return known.reason in DEFERRED and not (is_short and snapshot.require_quota)


def step(snapshot: Snapshot, current: Iterable[MachineView]) -> CandidateStep | None:
    """To the next candidate, when one of the orders was refused for its instance type or capacity type."""
    target = following(snapshot)
    mine = [m for m in current if _first_match([snapshot.wanted.candidate], [m.candidate])]
    refused = next((m for m in mine if m.phase is not MachinePhase.READY and is_unavailable(m)), None)
    if target is None or refused is None:
        return None
    now = snapshot.now.replace(microsecond=0)
    entry = Passed(snapshot.wanted.candidate, refused.reason, shorten(refused.message), now)
    visible = {m.ordinal: m for m in current if m.ordinal is not None}
    ordinals = sorted({*range(snapshot.wanted.count), *visible})
    failures = {o: _moved_on(snapshot, o, visible.get(o), entry) for o in ordinals}
    return CandidateStep(entry, target, with_passed(snapshot.passed, entry), {**snapshot.attempts, **failures})


def _moved_on(snapshot: Snapshot, ordinal: int, machine: MachineView | None, entry: Passed) -> Failure:
    """A new attempt that costs none: neither the count nor the moment of the last failure moves."""
    before = snapshot.attempts.get(ordinal)
    known = before.next_attempt if before else 0
    upcoming = attempt_of(machine) + 1 if machine is not None else known + 1
    name = machine.name if machine is not None else ""
    if before is not None and before.failed:
        return replace(before, next_attempt=max(known, upcoming))
    return Failure(max(known, upcoming), 0, name, entry.reason, entry.message, entry.at)


def after_failures(
    snapshot: Snapshot, failed: Iterable[MachineView], failures: Mapping[int, Failure]
) -> tuple[Passed, ...] | None:
    """What is on record of the candidates when attempts have failed; None when nothing changes.

    The round is over when none is left to try, when the attempts are used up, or when a node was lost that had worked; one that
    its cloud took back is no end: the next candidate follows.
    """
    counted = [m for m in failed if m.ordinal in failures]
    if len(snapshot.candidates) < 2 or not counted:
        return None
    used_up = any(entry.failed >= snapshot.limits.machine_attempts for entry in failures.values())
    if not used_up and following(snapshot) is not None and not any(m.initialized for m in counted):
        return None
    passed = snapshot.passed
    evicted = [m for m in counted if m.ordinal is not None and failures[m.ordinal].reason == SPOT_EVICTED]
    if evicted and not used_up:
        return _without_evicted(snapshot, evicted[0], failures)
    refused = next((m for m in counted if is_unavailable(m)), None)
    if refused is not None:
        now = snapshot.now.replace(microsecond=0)
        passed = with_passed(passed, Passed(snapshot.wanted.candidate, refused.reason, shorten(refused.message), now))
    return former(passed)


def _without_evicted(
    snapshot: Snapshot, machine: MachineView, failures: Mapping[int, Failure]
) -> tuple[Passed, ...] | None:
    """The candidate that the cloud took back is passed over; once all are, the round is over."""
    candidate = _first_match(snapshot.candidates, [machine.candidate])
    told = failures[machine.ordinal if machine.ordinal is not None else -1]
    if candidate is None:
        return None
    passed = with_passed(snapshot.passed, Passed(candidate, told.reason, shorten(told.message), told.at))
    return passed if any(_is_left(c, passed) for c in snapshot.candidates) else former(passed)


def _is_left(candidate: Candidate, passed: Iterable[Passed]) -> bool:
    """It was not tried in this round."""
    known = _entry(candidate, passed)
    return known is None or known.reason in DEFERRED


def former(passed: Iterable[Passed]) -> tuple[Passed, ...]:
    """All of them as of an earlier round."""
    return tuple(replace(entry, former=True) for entry in passed)


def is_passed(machine: MachineView, snapshot: Snapshot) -> bool:
    """It is on its way out because the next candidate is tried."""
    tried = [entry.candidate for entry in snapshot.passed if not entry.former]
    return len(snapshot.candidates) > 1 and _first_match(tried, [machine.candidate]) is not None
