"""A real informer against servers that misbehave byte by byte. The clock jumps over pauses and remembers them."""

import logging

import orjson
import pytest
import structlog

from controller_runtime import errors
from controller_runtime.informer import Informer
from controller_runtime.resources import PODS
from test.support.jumping_clock import JumpingClock
from test.support.processes import wait_until
from test.support.scripted_server import Request, ScriptedServer, Wire


def pod(name: str, version: int, uid: str = "") -> dict:
    metadata = {"name": name, "namespace": "n", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {**metadata, "managedFields": [{"manager": "m"}]}}


def pod_list(version: int, *pods: dict) -> dict:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": list(pods)}


class Recorder:
    """A handler that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def on_add(self, obj, is_initial):
        self.told.append(("add", obj["metadata"]["name"], obj["metadata"]["resourceVersion"], is_initial))

    def on_update(self, old, new):
        self.told.append(("update", new["metadata"]["name"], new["metadata"]["resourceVersion"]))

    def on_delete(self, obj, final_state_unknown):
        self.told.append(("delete", obj["metadata"]["name"], final_state_unknown))


class Rig:
    """A scripted server, an informer on it, and what both saw. Each watch takes the next of `watches`; the last one holds."""

    def __init__(self, tmp_path, lists, watches, **options) -> None:
        self.lists, self.watches = list(lists), list(watches)
        self.clock, self.recorder = JumpingClock(), Recorder()
        self.server = ScriptedServer(self._script)
        self.server.__enter__()
        self.client = self.server.client(tmp_path, read_timeout_s=options.pop("read_timeout_s", 5))
        self.informer = Informer(self.client, PODS, clock=self.clock, **options)
        self.informer.add_handler(self.recorder)
        self.informer.start()

    def _script(self, request: Request, wire: Wire) -> None:
        steps = self.watches if request.is_watch else self.lists
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(step, dict):
            wire.reply(200, step)
        else:
            step(request, wire)

    def keys(self, *expected: str) -> None:
        wait_until(lambda: sorted(self.informer.keys()) == sorted(expected), 10, f"keys {expected}")

    def told(self, *expected: tuple) -> None:
        wait_until(
            lambda: self.recorder.told == list(expected), 10, f"handler told {expected}, was {self.recorder.told}"
        )

    def close(self) -> None:
        assert self.informer.stop(5)
        self.client.close()
        self.server.__exit__()


@pytest.fixture
def rig(tmp_path):
    rigs = []

    def build(lists, watches, **options) -> Rig:
        rigs.append(Rig(tmp_path, lists, watches, **options))
        return rigs[-1]

    yield build
    for built in rigs:
        built.close()


def hold(_: Request, wire: Wire) -> None:
    wire.start_stream()
    wire.hold()


def events(*frames: tuple[str, dict], then=None):
    """A watch that sends these frames and then ends as `then` says (default: politely)."""

    def script(_: Request, wire: Wire) -> None:
        wire.start_stream()
        for kind, obj in frames:
            wire.event(kind, obj)
        then(wire) if then else wire.end_stream()

    return script


def raw_lines(*lines: bytes, then=None):
    def script(_: Request, wire: Wire) -> None:
        wire.start_stream()
        for line in lines:
            wire.chunk(line)
        then(wire) if then else wire.end_stream()

    return script


def refuse(code: int, reason: str = "", headers=None, **details):
    return lambda _, wire: wire.status(code, reason, headers, **details)


def test_the_first_list_asks_for_any_version_and_the_watch_continues_from_it(rig):
    r = rig([pod_list(10, pod("a", 3))], [hold])
    wait_until(lambda: r.server.watches(), 10)
    assert r.server.lists()[0].query == {"resourceVersion": "0", "limit": "500"}
    query = r.server.watches()[0].query
    assert (query["resourceVersion"], query["allowWatchBookmarks"]) == ("10", "true")
    assert 300 <= int(query["timeoutSeconds"]) <= 600
    r.told(("add", "a", "3", True))
    assert "managedFields" not in r.informer.get("a", "n")["metadata"]


def test_a_watch_that_ends_after_an_event_is_resumed_there_at_once_without_a_list(rig):
    r = rig([pod_list(10)], [events(("ADDED", pod("a", 11))), hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    assert r.server.watches()[1].query["resourceVersion"] == "11"
    assert len(r.server.lists()) == 1
    assert r.clock.pauses == []


def test_a_bookmark_moves_the_version_and_no_handler_hears_of_it(rig):
    r = rig([pod_list(10)], [events(("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "50"}})), hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    assert r.server.watches()[1].query["resourceVersion"] == "50"
    assert r.recorder.told == []
    assert r.informer.resource_version == "50"


@pytest.mark.parametrize("how", ["http status", "error event"])
def test_a_410_leads_to_a_list_that_replaces_the_cache_with_synthesised_deletes(rig, how):
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    first = refuse(410, "Expired") if how == "http status" else events(("ERROR", gone))
    r = rig([pod_list(10, pod("a", 3), pod("b", 4)), pod_list(20, pod("b", 15), pod("c", 16))], [first, hold])
    r.keys("n/b", "n/c")
    r.told(
        ("add", "a", "3", True),
        ("add", "b", "4", True),
        ("delete", "a", True),
        ("update", "b", "15"),
        ("add", "c", "16", False),
    )
    assert r.server.lists()[1].query == {"resourceVersion": "10"}
    assert len(r.clock.pauses) == 1


def test_a_list_whose_version_is_gone_is_repeated_at_once_for_the_latest(rig):
    r = rig([pod_list(10), refuse(410, "Expired"), pod_list(20, pod("a", 12))], [refuse(410, "Expired"), hold])
    r.keys("n/a")
    assert [q.query.get("resourceVersion") for q in r.server.lists()] == ["0", "10", None]
    assert len(r.clock.pauses) == 1


@pytest.mark.parametrize("causes", [[{"reason": "ResourceVersionTooLarge"}], []])
def test_a_server_behind_our_version_is_asked_for_the_latest(rig, causes):
    def too_large(_: Request, wire: Wire) -> None:
        body = {
            "kind": "Status",
            "code": 504,
            "reason": "Timeout",
            "message": "Too large resource version: 10, current: 5",
        }
        wire.reply(504, {**body, "details": {"causes": causes}})

    r = rig([pod_list(10), too_large, pod_list(20, pod("a", 12))], [refuse(410, "Expired"), hold])
    r.keys("n/a")
    assert [q.query.get("resourceVersion") for q in r.server.lists()] == ["0", "10", None]


def test_a_stale_server_cannot_take_the_cache_back_in_time(rig):
    stale = pod_list(5, pod("deleted-long-ago", 2))
    r = rig([pod_list(10, pod("a", 3)), stale, pod_list(20, pod("a", 3))], [refuse(410, "Expired"), hold])
    wait_until(lambda: r.informer.resource_version == "20", 10)
    r.told(("add", "a", "3", True))


def test_events_from_before_the_list_are_echoes_and_change_nothing(rig):
    replayed = events(
        ("ADDED", pod("deleted-long-ago", 2)),
        ("MODIFIED", pod("a", 2)),
        ("DELETED", pod("a", 9)),
        then=lambda wire: wire.hold(),
    )
    r = rig([pod_list(10, pod("a", 9))], [replayed])
    wait_until(lambda: r.informer.stats.events == 3, 10)
    assert r.informer.get("a", "n")["metadata"]["resourceVersion"] == "9"
    assert list(r.informer.keys()) == ["n/a"]


@pytest.mark.parametrize(
    ("fault", "must_list"),
    [
        (refuse(429, "TooManyRequests", {"Retry-After": "70"}), False),
        (refuse(503, "ServiceUnavailable"), False),
        (lambda _, wire: wire.reset(), False),
        (lambda _, wire: wire.connection.close(), False),
        (events(("ERROR", {"kind": "Status", "code": 429, "reason": "TooManyRequests"})), False),
        (events(("ERROR", {"kind": "Status", "code": 500, "reason": "InternalError"})), True),
        (events(("ERROR", {"kind": "Status"})), True),
        (refuse(403, "Forbidden"), True),
        (raw_lines(b"garbage\n"), True),
        (raw_lines(b'{"type":"ADDED"}\n'), True),
        (raw_lines(b"[]\n"), True),
        (lambda _, wire: wire.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), True),
        (raw_lines(then=lambda wire: wire.end_stream()), True),
    ],
    ids=[
        "429", "503", "reset", "closed", "ERROR 429", "ERROR 500", "ERROR of unknown code", "403", "garbage line", "no object",
        "not an event", "broken chunk", "closed at once",
    ],
)  # fmt: skip
def test_each_fault_of_a_watch_costs_one_pause_and_at_most_one_list(rig, fault, must_list):
    r = rig([pod_list(10, pod("a", 3)), pod_list(20, pod("a", 3), pod("b", 15))], [fault, hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    wait_until(lambda: r.informer.healthy() is None, 10)
    assert len(r.server.lists()) == (2 if must_list else 1)
    assert r.server.watches()[1].query["resourceVersion"] == ("20" if must_list else "10")
    assert len(r.clock.pauses) == 1
    assert r.clock.pauses[0] >= 0.8


def test_a_429_with_retry_after_is_obeyed(rig):
    r = rig([pod_list(10)], [refuse(429, "TooManyRequests", {"Retry-After": "70"}), hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    assert r.clock.pauses[0] >= 70


def test_good_frames_before_a_garbage_line_are_not_lost(rig):
    line = orjson.dumps({"type": "ADDED", "object": pod("a", 11)}) + b"\n"
    r = rig([pod_list(10), pod_list(20, pod("a", 11))], [raw_lines(line + b"garbage\n"), hold])
    wait_until(lambda: len(r.server.lists()) == 2, 10)
    r.told(("add", "a", "11", False))
    assert r.server.lists()[1].query == {"resourceVersion": "11"}


def test_half_a_line_at_the_end_is_dropped_and_asked_for_again(rig):
    line = orjson.dumps({"type": "ADDED", "object": pod("a", 11)}) + b"\n"
    half = raw_lines(line, b'{"type":"ADDED","object":{"metad', then=lambda wire: wire.connection.close())
    r = rig([pod_list(10)], [half, events(("ADDED", pod("b", 12)), then=lambda wire: wire.hold())])
    r.keys("n/a", "n/b")
    assert r.server.watches()[1].query["resourceVersion"] == "11"
    assert len(r.server.lists()) == 1


def test_a_frame_in_many_pieces_and_many_frames_in_one_piece_come_out_the_same(rig):
    frames = b"".join(orjson.dumps({"type": "ADDED", "object": pod(f"p{i}", 11 + i)}) + b"\n" for i in range(40))
    pieces = [frames[:7], *[frames[7 + i : 8 + i] for i in range(60)], frames[67:], b"\n\n"]
    r = rig([pod_list(10)], [raw_lines(*pieces, then=lambda wire: wire.hold())])
    r.keys(*[f"n/p{i}" for i in range(40)])


def test_an_object_of_1_4_megabytes_comes_through_a_watch(rig):
    big = {**pod("a", 11), "data": "x" * 1_400_000}
    r = rig([pod_list(10)], [events(("ADDED", big), then=lambda wire: wire.hold())])
    r.keys("n/a")
    assert len(r.informer.get("a", "n")["data"]) == 1_400_000


def test_unknown_events_wrong_kinds_and_objects_without_metadata_are_skipped(rig):
    table = {"kind": "Table", "metadata": {"resourceVersion": "12", "name": "t"}}
    frames = [
        ("SURPRISE", pod("x", 11)), ("ADDED", table), ("ADDED", {"kind": "Pod"}), ("ADDED", {"kind": "Pod", "metadata": {}}),
        ("ADDED", None), ("ADDED", "text"), ("MODIFIED", {"kind": "Pod", "metadata": None}), (7, pod("y", 13)),
        ("ADDED", {"kind": "Pod", "metadata": {"name": "z", "resourceVersion": 5}}), ("ADDED", pod("good", 14)),
    ]  # fmt: skip
    r = rig([pod_list(10)], [events(*frames, then=lambda wire: wire.hold())])
    r.keys("n/good")
    assert r.clock.pauses == []


def test_a_plain_stream_without_chunks_is_read_as_well(rig):
    def old_proxy(_: Request, wire: Wire) -> None:
        wire.raw(b"HTTP/1.0 200 OK\r\n\r\n" + orjson.dumps({"type": "ADDED", "object": pod("a", 11)}) + b"\n")
        wire.hold()

    r = rig([pod_list(10)], [old_proxy])
    r.keys("n/a")


def test_a_silent_peer_is_given_up_90_seconds_after_a_bookmark(rig, monkeypatch):
    # The limit itself is a constant; here it is shortened so that real silence on a real socket can be waited for.
    monkeypatch.setattr("controller_runtime.frames.SILENCE_AFTER_BOOKMARK_S", 0.2)
    bookmark = ("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "50"}})
    r = rig([pod_list(10)], [events(bookmark, then=lambda wire: wire.hold()), hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    assert r.server.watches()[1].query["resourceVersion"] == "50"
    assert r.informer.stats.errors == {"WatchStalled": 1}


def test_a_missing_crd_is_waited_for_with_one_clear_line_and_found_when_it_comes(rig):
    with structlog.testing.capture_logs() as logs:
        r = rig([*[refuse(404, "NotFound")] * 5, pod_list(10, pod("a", 3))], [hold])
        r.keys("n/a")
    clear = [line for line in logs if "waiting for its CRD to be installed" in line["event"]]
    assert [line["log_level"] for line in clear].count("warning") == 1
    assert len(r.clock.pauses) == 5
    assert max(r.clock.pauses) <= 20


def test_a_forbidden_list_is_told_to_readiness_and_recovers_without_a_restart(rig):
    allowed = []

    def list_if_allowed(_: Request, wire: Wire) -> None:
        wire.reply(200, pod_list(10, pod("a", 3))) if allowed else wire.status(403, "Forbidden")

    r = rig([list_if_allowed], [hold])
    reason = wait_until(r.informer.healthy, 10)
    assert "403 Forbidden" in reason
    assert not r.informer.has_synced
    allowed.append(True)
    r.keys("n/a")
    wait_until(lambda: r.informer.healthy() is None, 10)


def test_an_empty_collection_is_synced_too(rig):
    r = rig([pod_list(10)], [hold])
    wait_until(lambda: r.informer.has_synced, 10)
    assert r.informer.keys() == []


def test_a_list_cut_in_the_middle_is_not_taken_for_the_truth(rig):
    def cut(_: Request, wire: Wire) -> None:
        body = orjson.dumps(pod_list(20, pod("b", 12)))
        wire.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body[:-20]))
        wire.connection.close()

    r = rig([pod_list(10, pod("a", 3)), cut, pod_list(20, pod("a", 3))], [refuse(410, "Expired"), hold])
    wait_until(lambda: r.informer.resource_version == "20", 10)
    r.told(("add", "a", "3", True))


def test_a_server_that_closes_every_watch_after_one_event_is_not_hammered(rig):
    def one_more(request: Request, wire: Wire) -> None:
        events(("MODIFIED", pod("a", int(request.query["resourceVersion"]) + 1)))(request, wire)

    r = rig([pod_list(10, pod("a", 3))], [one_more])
    wait_until(lambda: len(r.clock.pauses) >= 3, 10)
    assert len(r.server.watches()) <= 4 + len(r.clock.pauses) + 1


def test_endless_410_falls_to_the_slowest_rate(rig):
    r = rig([pod_list(10)], [refuse(410, "Expired")])
    wait_until(lambda: len(r.clock.pauses) >= 8, 10)
    assert min(r.clock.pauses[3:8]) >= 30


def test_a_streamed_list_appears_at_once_at_its_bookmark_and_the_same_watch_goes_on(rig):
    end = {"kind": "Pod", "metadata": {"resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}}}
    frames = [("ADDED", pod("a", 7)), ("ADDED", pod("b", 5)), ("BOOKMARK", end), ("ADDED", pod("c", 11))]
    r = rig([refuse(500)], [events(*frames, then=lambda wire: wire.hold())], streaming_list=True)
    r.keys("n/a", "n/b", "n/c")
    r.told(("add", "a", "7", True), ("add", "b", "5", True), ("add", "c", "11", False))
    query = r.server.watches()[0].query
    assert (query["sendInitialEvents"], query["resourceVersionMatch"]) == ("true", "NotOlderThan")
    assert "resourceVersion" not in query
    assert len(r.server.requests) == 1


def test_a_server_that_cannot_stream_lists_gets_a_paged_one_without_a_pause(rig):
    r = rig([pod_list(10, pod("a", 3))], [refuse(422, "Invalid"), hold], streaming_list=True)
    r.keys("n/a")
    assert r.clock.pauses == []


def test_a_streamed_list_that_breaks_off_leaves_the_cache_alone_and_starts_again(rig):
    end = {"kind": "Pod", "metadata": {"resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}}}
    broken = events(("ADDED", pod("ghost", 5)), then=lambda wire: wire.connection.close())
    whole = events(("ADDED", pod("a", 7)), ("BOOKMARK", end), then=lambda wire: wire.hold())
    r = rig([refuse(500)], [broken, whole], streaming_list=True)
    r.keys("n/a")
    r.told(("add", "a", "7", True))


@pytest.mark.parametrize("where", ["watch", "silent list"])
def test_stop_does_not_wait_for_the_network(rig, where):
    if where == "watch":
        r = rig([pod_list(10)], [hold])
        wait_until(lambda: r.server.watches(), 10)
    else:
        r = rig([lambda _, wire: wire.hold()], [hold], read_timeout_s=60)
        wait_until(lambda: r.server.requests, 10)
    assert r.informer.stop(1)


def test_the_log_of_a_fault_names_the_resource_and_the_error(rig):
    with structlog.testing.capture_logs() as logs:
        r = rig([refuse(503, "ServiceUnavailable"), pod_list(10)], [hold])
        wait_until(lambda: r.informer.has_synced, 10)
    (line,) = [line for line in logs if line["log_level"] == logging.getLevelName(logging.WARNING).lower()]
    assert line["resource"] == "pods"
    assert "503" in line["error"]
    assert errors.ServiceUnavailable.__name__ not in line["event"]
