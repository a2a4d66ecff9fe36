"""What of a container's log is shown, and when a log that is followed ends: by the pod's status and by what a program says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from controller_runtime.resources import Object
from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.logoptions import LogOptions
from hack.localcluster.apiserver.podlogs import Line, PodLog

START, END = "2026-11-01T10:00:00Z", "2026-11-01T10:05:00Z"
PLAYED = "localcluster stands in for i:1; it would run: serve"
RUNNING: Object = {"containerID": "1", "state": {"running": {"startedAt": START}}}
ENDED: Object = {
    "containerID": "1",
    "state": {
        "terminated": {
            "startedAt": START,
            "finishedAt": END,
            "exitCode": 1,
            "reason": "Error",
            "message": "no GPU\nno GPU",
        }
    },
}
CRASHED = "no GPU\nno GPU\nlocalcluster: ended with exit code 1 (Error)\n"


def pod(status: Object, ready_since: str = "") -> Object:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready_since}] if ready_since else []
    container = {"name": "c", "image": "i:1", "command": ["serve"], "ports": [{"containerPort": 5000}]}
    return {
        "metadata": {"name": "p", "uid": "u"},
        "spec": {"nodeName": "n", "containers": [container]},
        "status": {
            "containerStatuses": [{"name": "c", "ready": bool(ready_since), **status}],
            "conditions": conditions,
        },
    }


def said(*texts: str, at: datetime | None = None) -> list[Line]:
    moment = (at or datetime.now(UTC)).isoformat()
    return [(moment, text) for text in texts]


def log_of(status: Object, *batches: list[Line], **query: str) -> PodLog:
    """Of a program that says one batch after the other, of a played container without any."""
    rest = list(batches)
    program = (lambda: rest.pop(0) if rest else []) if batches else None
    return PodLog(pod(status), LogOptions(query, "p"), lambda uid, container, previous: program)


def test_a_followed_played_container_tells_what_comes_and_ends_with_its_run() -> None:
    log = log_of(RUNNING, follow="true")
    assert (log.more(pod(RUNNING)), log.is_over) == (f"{PLAYED}\n".encode(), False)
    assert (log.more(pod(RUNNING)), log.is_over) == (b"", False)
    assert log.more(pod(RUNNING, ready_since=END)) == b"localcluster: ready on port 5000\n"
    assert (log.more(pod(ENDED)).decode(), log.is_over) == (CRASHED, True)


def test_a_followed_log_ends_with_its_own_run_when_the_next_has_begun_already() -> None:
    log = log_of(RUNNING, follow="true")
    log.more(pod(RUNNING))
    next_run = {"containerID": "2", "state": {"running": {"startedAt": END}}, "lastState": ENDED["state"]}
    assert (log.more(pod(next_run)).decode(), log.is_over) == (CRASHED, True)


def test_a_followed_program_ends_with_its_pod_and_its_last_words_are_told() -> None:
    log = log_of(RUNNING, said("one"), said(), said("last words"), follow="true")
    assert [log.more(pod(RUNNING)), log.more(pod(RUNNING))] == [b"one\n", b""]
    assert (log.is_over, log.more(None), log.is_over) == (False, b"last words\n", True)


@pytest.mark.parametrize("status", [RUNNING, ENDED], ids=["runs", "has ended"])
def test_a_log_that_is_not_followed_is_over_at_once(status: Object) -> None:
    log = log_of(status)
    assert PLAYED in log.more(pod(status)).decode()
    assert log.is_over


def test_following_a_previous_run_ends_at_once() -> None:
    status = RUNNING | {"containerID": "2", "lastState": ENDED["state"]}
    log = log_of(status, follow="true", previous="true")
    assert (log.more(pod(status)).decode(), log.is_over) == (f"{PLAYED}\n{CRASHED}", True)


def test_the_tail_is_of_what_is_there_when_one_begins_to_follow() -> None:
    log = log_of(RUNNING, said("1", "2", "3"), said("4", "5", "6"), follow="true", tailLines="1")
    assert [log.more(pod(RUNNING)), log.more(pod(RUNNING))] == [b"3\n", b"4\n5\n6\n"]
    assert log_of(RUNNING, said("1", "2"), tailLines="0").more(pod(RUNNING)) == b""


def test_a_limit_of_bytes_holds_over_all_that_is_followed_stamps_included() -> None:
    log = log_of(RUNNING, said("12", "45"), said("78", "0"), follow="true", limitBytes="8")
    assert (log.more(pod(RUNNING)), log.is_over) == (b"12\n45\n", False)
    assert (log.more(pod(RUNNING)), log.is_over) == (b"78", True)
    stamped = log_of(RUNNING, said("x"), timestamps="true", limitBytes="10").more(pod(RUNNING)).decode()
    assert stamped == datetime.now(UTC).isoformat()[:10]


@pytest.mark.parametrize("since", [{"sinceSeconds": "60"}, {"sinceTime": "2026-11-01T00:00:00Z"}])
def test_what_is_older_than_asked_for_is_left_out(since: dict[str, str]) -> None:
    now = datetime.now(UTC)
    old = min(now - timedelta(hours=1), datetime(2026, 10, 31, tzinfo=UTC))
    batch = said("old", at=old) + said("new", at=max(now, datetime(2026, 11, 2, tzinfo=UTC)))
    assert log_of(RUNNING, batch, **since).more(pod(RUNNING)) == b"new\n"


def test_a_container_that_has_not_begun_has_no_log_to_follow() -> None:
    waiting = {"state": {"waiting": {"reason": "ErrImagePull"}}}
    with pytest.raises(StatusError, match="is waiting to start: image can't be pulled"):
        log_of(waiting, follow="true")
