"""What the reconciler must remember of a Workspace across restarts, kept in `status.record`.

Four facts cannot be read back from the cluster once their objects are gone: how many Machines have already failed (the failed ones are
deleted, or they would hold a GPU), which instance types could not be had, that the nodes were given back after a failure, and which
tuning run has succeeded. Each is written
*before* the deletion it explains, so a crash between the two loses nothing. The record is in `status` because only the controller may write
there, and carries the UID of its Workspace, so that a copied object starts afresh.

Whatever is stored is read through `read_record`, which never raises and never gives more than the bounds below. What a user may
do is ask for another try: each new value of the annotation `kaito.sh/try-again` forgets failures and releases once.

Earlier the record was three annotations, which anybody who may edit the Workspace could write. They are believed once, on a
Workspace that has a status and no record yet, and never again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object, annotations_of, uid_of
from controller_runtime.untrusted import entries, integer, json_in, mapping, moment, text
from kaito_controller.api.labels import TRY_AGAIN
from kaito_controller.api.schema import MAX_CANDIDATES, MAX_LABEL, MAX_NODES
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.candidates import Candidate, Passed

MESSAGE_LIMIT = 600
"""Characters of a quoted message that are kept: enough for a cloud's error, small enough for a hundred of them."""
WORD_LIMIT = 253
MOST_FAILURES = 1000
MOST_ATTEMPTS = 1_000_000
_INTENT_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Failure:
    """The history of one ordinal. `next_attempt` is the number to use now; `failed` counts failures against the limit."""

    next_attempt: int
    failed: int
    machine: str
    reason: str
    message: str
    at: datetime
    cause: str = ""
    """The last cause that the cloud gave, in case the failure itself names none (a time limit, a deletion)."""


Attempts = Mapping[int, Failure]


@dataclass(frozen=True, slots=True)
class Release:
    """Nodes given back after a failure. `intent` identifies what failed; the record is void once the Workspace asks for something else."""

    intent: str
    reason: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """All of it. `request` identifies the last request to try again that was heard."""

    attempts: Attempts = field(default_factory=dict)
    release: Release | None = None
    tuned_run: str = ""
    request: str = ""
    trained_run: str = ""
    """The training whose result waits in the output volume to be pushed."""
    passed: tuple[Passed, ...] = ()
    """Candidates that could not be had."""


def shorten(said: str, limit: int = MESSAGE_LIMIT) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(said.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def request_of(workspace: Object) -> str:
    """Identity of the request to try again that the Workspace carries, "" without one."""
    asked = annotations_of(workspace).get(TRY_AGAIN)
    return hashlib.sha256(str(asked).encode("utf-8", "replace")).hexdigest()[:16] if asked is not None else ""


def stored_record(workspace: Object) -> Record | None:
    """What is on record for exactly this Workspace; None when nothing was ever recorded."""
    stored = mapping(mapping(workspace.get("status")).get("record"))
    return _decode(stored) if stored.get("uid") == uid_of(workspace) else None


def read_record(workspace: Object) -> Record:
    """What is to be believed now: the record, without failures and releases once a new request to try again came in."""
    stored, request = stored_record(workspace), request_of(workspace)
    if stored is None:
        return _former(workspace, request)
    if request and request != stored.request:
        return Record(tuned_run=stored.tuned_run, request=request, trained_run=stored.trained_run)
    return stored


def write_record(record: Record, uid: str) -> dict[str, Any]:
    """`status.record`, as a merge patch: what is not so any more is null."""
    release = record.release
    return {
        "uid": uid,
        "request": record.request or None,
        "tunedRun": record.tuned_run or None,
        "trainedRun": record.trained_run or None,
        "attempts": [_encode(ordinal, entry) for ordinal, entry in sorted(record.attempts.items())] or None,
        "passed": [_encode_passed(entry) for entry in record.passed[-MAX_CANDIDATES:]] or None,
        "release": None
        if release is None
        else {
            "intent": release.intent,
            "reason": release.reason,
            "message": shorten(release.message),
            "at": rfc3339(release.at),
        },
    }


def _encode(ordinal: int, entry: Failure) -> dict[str, Any]:
    cause = {"cause": shorten(entry.cause)} if entry.cause else {}
    return {
        **cause,
        "ordinal": ordinal,
        "next": min(entry.next_attempt, MOST_ATTEMPTS),
        "failed": min(entry.failed, MOST_FAILURES),
        "machine": entry.machine[:WORD_LIMIT],
        "reason": entry.reason[:WORD_LIMIT],
        "message": shorten(entry.message),
        "at": rfc3339(entry.at),
    }


def _encode_passed(entry: Passed) -> dict[str, Any]:
    capacity = {"capacityType": entry.candidate.capacity_type} if entry.candidate.capacity_type else {}
    former = {"former": True} if entry.former else {}
    return {
        **capacity,
        **former,
        "instanceType": entry.candidate.instance_type,
        "reason": entry.reason[:WORD_LIMIT],
        "message": shorten(entry.message),
        "at": rfc3339(entry.at),
    }


def _decode(stored: Mapping[str, Any]) -> Record:
    found = {_ordinal(entry.get("ordinal")): _failure(entry) for entry in entries(stored.get("attempts"), MAX_NODES)}
    return Record(
        attempts={ordinal: entry for ordinal, entry in found.items() if ordinal >= 0 and entry is not None},
        release=_release(stored.get("release")),
        tuned_run=text(stored.get("tunedRun"), _INTENT_LIMIT),
        request=text(stored.get("request"), _INTENT_LIMIT),
        trained_run=text(stored.get("trainedRun"), _INTENT_LIMIT),
        passed=tuple(filter(None, map(_passed, entries(stored.get("passed"), MAX_CANDIDATES)))),
    )


def _passed(content: Mapping[str, Any]) -> Passed | None:
    at, instance_type = moment(content.get("at")), text(content.get("instanceType"), MAX_LABEL)
    if at is None or not instance_type:
        return None
    return Passed(
        Candidate(instance_type, text(content.get("capacityType"), MAX_LABEL)),
        reason=text(content.get("reason"), WORD_LIMIT),
        message=text(content.get("message"), MESSAGE_LIMIT),
        at=at,
        former=content.get("former") is True,
    )


def _ordinal(value: object) -> int:
    """-1 for what is none."""
    found = integer(value, least=-1, most=MAX_NODES, default=-1)
    return found if found < MAX_NODES else -1


def _failure(entry: object) -> Failure | None:
    content = mapping(entry)
    at = moment(content.get("at"))
    if at is None:
        return None
    return Failure(
        next_attempt=integer(content.get("next"), most=MOST_ATTEMPTS),
        failed=integer(content.get("failed"), most=MOST_FAILURES),
        machine=text(content.get("machine"), WORD_LIMIT),
        reason=text(content.get("reason"), WORD_LIMIT),
        message=text(content.get("message"), MESSAGE_LIMIT),
        at=at,
        cause=text(content.get("cause"), MESSAGE_LIMIT),
    )


def _release(entry: object) -> Release | None:
    content = mapping(entry)
    at, intent = moment(content.get("at")), text(content.get("intent"), _INTENT_LIMIT)
    if at is None or not intent:
        return None
    reason, message = text(content.get("reason"), WORD_LIMIT), text(content.get("message"), MESSAGE_LIMIT)
    return Release(intent, reason, message, at)


def _former(workspace: Object, request: str) -> Record:
    """The annotations that used to hold the record, on a Workspace that has been looked after: a copied object has no status yet."""
    if not mapping(workspace.get("status")).get("conditions") or mapping(workspace.get("status")).get("record"):
        return Record(request=request)
    marks = annotations_of(workspace)
    attempts = mapping(json_in(marks.get(naming.FORMER_ATTEMPTS)))
    found = {_ordinal(key): _failure(entry) for key, entry in [*attempts.items()][:MAX_NODES]}
    return Record(
        attempts={ordinal: entry for ordinal, entry in found.items() if ordinal >= 0 and entry is not None},
        release=_release(json_in(marks.get(naming.FORMER_RELEASE))),
        tuned_run=text(marks.get(naming.FORMER_TUNED_RUN), _INTENT_LIMIT),
        request=request,
    )
