"""What is remembered of a Workspace: who may write it, whose it is, and that no content of it can stop a worker."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller_runtime.resources import Object
from kaito_controller.api.reasons import Severity
from kaito_controller.api.types import Workspace
from kaito_controller.workspace.act.actions import Delete, Remember
from kaito_controller.workspace.conditions.status import conditions_of, status_of
from kaito_controller.workspace.decide.decision import decide, intent_of
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.records import (
    MOST_ATTEMPTS,
    MOST_FAILURES,
    Failure,
    Record,
    Release,
    read_record,
    stored_record,
    write_record,
)
from kaito_controller.workspace.state.snapshot import Limits, MachinePhase, Snapshot
from test.support.snapshots import START, UID, machine, raw_workspace, snapshot

FAILURE = Failure(2, 1, "ws1", "LaunchFailed", "QuotaExceeded: ärger", START)
RECORD = Record({0: FAILURE}, Release("abc", "JobFailed", "no", START), "def", "0123")
CONDITIONS = [
    {
        "type": "WorkspaceReady",
        "status": "False",
        "reason": "MachinesPending",
        "message": "",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
]
FORMER = {
    "kaito.sh/machine-attempts": json.dumps(
        {"0": {"next": 2, "failed": 1, "machine": "ws1", "reason": "R", "message": "m", "at": "2026-01-02T03:04:05Z"}}
    ),
    "kaito.sh/released": '{"intent":"abc","reason":"R","message":"m","at":"2026-01-02T03:04:05Z"}',
    "kaito.sh/tuned-run": "def",
}


def stored(record: Record | dict[str, Any] | None, *, uid: str = UID, **annotations: str) -> Object:
    raw = raw_workspace()
    raw["metadata"]["annotations"] = {f"kaito.sh/{key.replace('_', '-')}": value for key, value in annotations.items()}
    if isinstance(record, Record):
        record = {key: value for key, value in write_record(record, uid).items() if value is not None}
    if record is not None:
        raw["status"] = {"conditions": CONDITIONS, "record": record}
    return raw


def look(raw: Object, **fields: Any) -> Snapshot:
    record = read_record(raw)
    remembered = {"attempts": record.attempts, "release": record.release, "tuned_run": record.tuned_run}
    return snapshot(raw, **{**remembered, "request": record.request, "stored": stored_record(raw), **fields})


def test_record_survives_writing_and_reading_and_fits_the_schema() -> None:
    raw = stored(RECORD)

    assert read_record(raw) == RECORD
    assert Workspace.from_object(raw).malformed == ()


def test_record_of_another_uid_counts_for_nothing_and_is_replaced() -> None:
    raw = stored(RECORD, uid="another")

    assert read_record(raw) == Record()
    assert status_of(raw, (), (), START)["record"] == {"uid": UID}


def test_copy_with_the_former_annotations_starts_afresh() -> None:
    raw = raw_workspace()
    raw["metadata"]["annotations"] = dict(FORMER)

    assert read_record(raw) == Record()
    assert status_of(raw, (), (), START)["record"] == {"uid": UID}


def test_former_annotations_are_moved_once_and_then_mean_nothing() -> None:
    raw = raw_workspace(status={"conditions": CONDITIONS})
    raw["metadata"]["annotations"] = dict(FORMER)

    moved = read_record(raw)
    assert (moved.attempts[0].failed, moved.release and moved.release.intent, moved.tuned_run) == (1, "abc", "def")
    raw["status"]["record"] = status_of(raw, (), (), START)["record"]
    raw["metadata"]["annotations"] = {"kaito.sh/machine-attempts": "forged", "kaito.sh/tuned-run": "forged"}
    assert read_record(raw) == moved


def test_tuning_cannot_be_declared_done_by_an_annotation() -> None:
    raw = stored(Record())
    raw["metadata"]["annotations"] = {"kaito.sh/tuned-run": intent_of(look(raw))}

    assert read_record(raw).tuned_run == ""


def test_new_request_forgets_failures_and_releases_once() -> None:
    raw = stored(RECORD, try_again="now")

    asked = read_record(raw)
    heard = read_record(stored(Record({0: FAILURE}, request=asked.request), try_again="now"))
    again = read_record(stored(Record({0: FAILURE}, request=asked.request), try_again="later"))

    assert asked == Record(tuned_run="def", request=asked.request)
    assert heard.attempts == {0: FAILURE}
    assert again.attempts == {}


def test_request_is_put_on_record_before_anything_is_ordered() -> None:
    exhausted = Record({0: Failure(3, 3, "ws1", "R", "m", START)})

    first, *_ = plan_of(look(stored(exhausted, try_again="now")))

    assert isinstance(first, Remember)
    assert first.record.attempts == {}
    assert not [a for a in plan_of(look(stored(first.record, try_again="now"))) if isinstance(a, Remember)]


def test_request_that_was_there_from_the_beginning_forgets_no_later_failure() -> None:
    raw = raw_workspace()
    raw["metadata"]["annotations"] = {"kaito.sh/try-again": "from a manifest"}
    failed = look(raw, machines=(machine(0, 0, MachinePhase.FAILED, reason="R", message="m"),))

    remember = next(action for action in plan_of(failed) if isinstance(action, Remember))

    assert read_record(stored(remember.record, try_again="from a manifest")).attempts[0].failed == 1


def plan_of(seen: Snapshot) -> Any:
    return plan(seen, decide(seen))


HOSTILE: dict[str, Any] = {
    "six billion failures": {"attempts": [{"ordinal": 0, "failed": 6_000_000_000, "at": "2026-01-02T03:04:05Z"}]},
    "two thousand failures": {"attempts": [{"ordinal": 0, "failed": 2000, "at": "2026-01-02T03:04:05Z"}]},
    "the end of time": {"attempts": [{"ordinal": 0, "failed": 1, "at": "9999-12-31T23:59:59-23:59"}]},
    "the last moment that is read": {"attempts": [{"ordinal": 0, "failed": 9, "at": "2999-12-31T23:59:59Z"}]},
    "before the beginning of time": {"attempts": [{"ordinal": 0, "failed": 1, "at": "0001-01-01T00:00:00+23:59"}]},
    "infinity": {"attempts": [{"ordinal": 1e999, "next": 1e999, "failed": 1e999, "at": "2026-01-02T03:04:05Z"}]},
    "half a surrogate": {"attempts": [{"ordinal": 0, "message": "\ud800", "failed": 1, "at": "2026-01-02T03:04:05Z"}]},
    "a huge ordinal": {"attempts": [{"ordinal": 10**9, "failed": 1, "at": "2026-01-02T03:04:05Z"}]},
    "a million entries": {"attempts": [{"ordinal": 0, "failed": 1, "at": "2026-01-02T03:04:05Z"}] * 1_000_000},
    "a release without a time": {"release": {"intent": "x", "at": "yesterday"}},
    "lists where maps are due": {"attempts": {}, "release": [], "tunedRun": [[]], "trainedRun": {}, "request": {}},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_record_is_planned_and_shown_within_the_bounds(case: str) -> None:
    assert_harmless(stored({"uid": UID, **HOSTILE[case]}))


def assert_harmless(raw: Object) -> None:
    """The whole pure part, a day later: it ends, and what it would write is bounded and can be sent."""
    failing = machine(0, 0, MachinePhase.FAILED, reason="R", message="m")
    first = look(raw)
    for seen in (first, replace(first, now=first.now + timedelta(days=1)), replace(first, machines=(failing,))):
        decision = decide(seen)
        for action in plan(seen, decision):
            assert not isinstance(action, Delete) or action.uid
            if isinstance(action, Remember):
                written = write_record(action.record, UID)
                assert len(json.dumps(written).encode()) < 100_000
                assert all(
                    e["failed"] <= MOST_FAILURES and e["next"] <= MOST_ATTEMPTS for e in written["attempts"] or ()
                )
        shown = status_of(raw, conditions_of(seen, decision), (), seen.now)
        json.dumps(shown["conditions"], ensure_ascii=False).encode()
        assert decision.overall.until is None or decision.overall.until <= seen.now + timedelta(days=400_000)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(codec=None), max_size=8),
    st.sampled_from(["9999-12-31T23:59:59-23:59", "2026-01-02T03:04:05Z", "0001-01-01T00:00:00+23:59", 6_000_000_000, 1e999]),
)  # fmt: skip
NAMES = st.sampled_from(["ordinal", "next", "failed", "machine", "reason", "message", "at", "intent"])
ENTRY = st.dictionaries(NAMES, SCALARS, max_size=8)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "uid": st.one_of(st.just(UID), SCALARS),
        "attempts": st.one_of(SCALARS, st.lists(st.one_of(ENTRY, SCALARS), max_size=4)),
        "release": st.one_of(SCALARS, ENTRY),
        "tunedRun": SCALARS,
        "trainedRun": SCALARS,
        "request": SCALARS,
    },
)


@given(record=RECORDS)
def test_no_record_raises(record: dict[str, Any]) -> None:
    assert_harmless(stored(record))


@given(
    attempts=st.one_of(
        st.text(max_size=30), st.dictionaries(st.text("0123456789-e.", max_size=3), ENTRY).map(json.dumps)
    ),
    released=st.one_of(st.text(max_size=30), ENTRY.map(json.dumps)),
    request=st.text(st.characters(codec=None), max_size=8),
)
def test_no_former_annotation_raises(attempts: str, released: str, request: str) -> None:
    raw = raw_workspace(status={"conditions": CONDITIONS})
    raw["metadata"]["annotations"] = {
        "kaito.sh/machine-attempts": attempts,
        "kaito.sh/released": released,
        "kaito.sh/try-again": request,
    }

    assert_harmless(raw)


@pytest.mark.parametrize(
    "text", ["[" * 60_000, '{"0":' * 20_000, '{"0":{"next":1e999,"at":"2026-01-02T03:04:05Z"}}', "9" * 200_000]
)
def test_former_annotation_of_many_brackets_or_digits_is_harmless(text: str) -> None:
    raw = raw_workspace(status={"conditions": CONDITIONS})
    raw["metadata"]["annotations"] = {"kaito.sh/machine-attempts": text, "kaito.sh/released": text}

    assert_harmless(raw)


def test_pause_before_an_attempt_is_bounded_however_many_are_allowed() -> None:
    raw = stored(Record({0: Failure(999, 999, "ws1", "R", "m", START)}))
    seen = look(raw, limits=Limits(machine_attempts=10_000))

    decision = decide(seen)

    assert decision.machines.reason.severity is Severity.TROUBLE
    assert decision.machines.until == START + timedelta(seconds=30 * 1024)
