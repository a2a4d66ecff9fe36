"""What each fault of a list or watch costs, byte by byte; the clock jumps over pauses and remembers them."""

import logging
import socket

import orjson
import pytest
import structlog

from controller_runtime import errors
from test.support.processes import wait_until
from test.support.reflector_rig import events, hold, pod, pod_list, raw_lines, refuse, rigs
from test.support.scripted_server import Request, Wire


@pytest.fixture
def rig(tmp_path):
    yield from rigs(tmp_path)


def half_a_reply(_: Request, wire: Wire) -> None:
    body = orjson.dumps(pod_list(20, pod("ghost", 12)))
    wire.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body[:-20]))
    wire.connection.shutdown(socket.SHUT_RDWR)


def half_a_chunk(_: Request, wire: Wire) -> None:
    wire.start_stream()
    wire.raw(b'ff\r\n{"type":"ADDED"')
    wire.connection.shutdown(socket.SHUT_RDWR)


def broken_chunk(_: Request, wire: Wire) -> None:
    wire.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")


def status_event(**status):
    return events(("ERROR", {"kind": "Status", **status}))


RESUMED = {
    "429": refuse(429, "TooManyRequests", {"Retry-After": "70"}),
    "500": refuse(500, "InternalError"),
    "503": refuse(503, "ServiceUnavailable"),
    "504": refuse(504, "Timeout"),
    "reset": lambda _, wire: wire.reset(),
    "closed": lambda _, wire: wire.connection.close(),
    "not HTTP": lambda _, wire: wire.raw(b"\x16\x03\x01 garbage\r\n\r\n"),
    "half a chunk": half_a_chunk,
    "half a line": raw_lines(b'{"type":"ADDED","object":{"metad'),
    "ERROR 429": status_event(code=429, reason="TooManyRequests"),
}
LISTED = {
    "400": refuse(400, "BadRequest"),
    "401": refuse(401, "Unauthorized"),
    "403": refuse(403, "Forbidden"),
    "404": refuse(404, "NotFound"),
    "409": refuse(409, "Conflict"),
    "422": refuse(422, "Invalid"),
    "ERROR 500": status_event(code=500, reason="InternalError"),
    "ERROR of unknown code": status_event(),
    "garbage line": raw_lines(b"garbage\n"),
    "no object": raw_lines(b'{"type":"ADDED"}\n'),
    "not an event": raw_lines(b"[]\n"),
    "a line without end": raw_lines(b"x" * (9 << 20)),
    "broken chunk": broken_chunk,
    "closed at once": raw_lines(),
}


@pytest.mark.parametrize("name", [*RESUMED, *LISTED])
def test_each_fault_of_a_watch_costs_one_pause_and_at_most_one_list(rig, name):
    must_list = name in LISTED
    fault = LISTED[name] if must_list else RESUMED[name]
    r = rig([pod_list(10, pod("a", 3)), pod_list(20, pod("a", 3), pod("b", 15))], [fault, hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    wait_until(lambda: r.informer.healthy() is None, 10)
    assert len(r.server.lists()) == (2 if must_list else 1)
    assert r.server.watches()[1].query["resourceVersion"] == ("20" if must_list else "10")
    assert len(r.clock.pauses) == 1
    assert r.clock.pauses[0] >= 0.8


@pytest.mark.parametrize(
    "fault",
    [
        *[refuse(code) for code in (400, 401, 403, 404, 409, 422, 429, 500, 503, 504)],
        lambda _, wire: wire.reset(),
        lambda _, wire: wire.connection.close(),
        lambda _, wire: wire.hold(),
        lambda _, wire: wire.raw(b"\x16\x03\x01 garbage\r\n\r\n"),
        lambda _, wire: wire.reply(200, b"garbage"),
        lambda _, wire: wire.reply(200, {"kind": "Pod", "metadata": {"resourceVersion": "99"}}),
        half_a_reply,
    ],
    ids=[
        "400", "401", "403", "404", "409", "422", "429", "500", "503", "504", "reset", "closed", "black hole", "not HTTP",
        "garbage", "not a list", "half a reply",
    ],
)  # fmt: skip
def test_each_fault_of_a_list_costs_one_pause_and_leaves_the_cache_as_it_was(rig, fault):
    lists = [pod_list(10, pod("a", 3)), fault, pod_list(20, pod("a", 3))]
    r = rig(lists, [status_event(code=500), hold], read_timeout_s=0.3)
    wait_until(lambda: r.informer.resource_version == "20", 10)
    r.told(("add", "a", "3", True))
    assert len(r.server.lists()) == 3
    assert len(r.clock.pauses) == 2, "one for the watch, one for the list"


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
    with structlog.testing.capture_logs() as logs:
        r = rig([pod_list(10)], [events(*frames, then=lambda wire: wire.hold())])
        r.keys("n/good")
    assert r.clock.pauses == []
    assert r.informer.stats.unknown_events == 4, "two unknown types and two objects that are none"
    assert r.informer.malformed_objects == 5
    assert sum("skipped" in line["event"] for line in logs) >= 6


def test_a_plain_stream_without_chunks_is_read_as_well(rig):
    def old_proxy(_: Request, wire: Wire) -> None:
        wire.raw(b"HTTP/1.0 200 OK\r\n\r\n" + orjson.dumps({"type": "ADDED", "object": pod("a", 11)}) + b"\n")
        wire.hold()

    r = rig([pod_list(10)], [old_proxy])
    r.keys("n/a")


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


def test_the_log_of_a_fault_names_the_resource_and_the_error(rig):
    with structlog.testing.capture_logs() as logs:
        r = rig([refuse(503, "ServiceUnavailable"), pod_list(10)], [hold])
        wait_until(lambda: r.informer.has_synced, 10)
    (line,) = [line for line in logs if line["log_level"] == logging.getLevelName(logging.WARNING).lower()]
    assert line["resource"] == "pods"
    assert "503" in line["error"]
    assert errors.ServiceUnavailable.__name__ not in line["event"]


def test_five_broken_connections_cost_growing_pauses_and_no_list(rig):
    r = rig([pod_list(10)], [*[lambda _, wire: wire.reset()] * 5, hold])
    wait_until(lambda: len(r.server.watches()) == 6, 10)
    bounds = [(0.8, 1.6), (1.6, 3.2), (3.2, 6.4), (6.4, 12.8), (12.8, 25.6)]
    assert len(r.clock.pauses) == 5
    assert all(low <= pause < high for pause, (low, high) in zip(r.clock.pauses, bounds, strict=True))
    assert len(r.server.lists()) == 1
    assert {watch.query["resourceVersion"] for watch in r.server.watches()} == {"10"}


def test_a_server_that_closes_100_watches_at_once_is_asked_ever_more_slowly(rig):
    r = rig([pod_list(10)], [*[raw_lines()] * 100, hold])
    wait_until(lambda: len(r.server.watches()) == 101, 20)
    assert len(r.clock.pauses) == 100
    assert all(0.8 * 2**number <= pause for number, pause in enumerate(r.clock.pauses[:6]))
    assert min(r.clock.pauses[6:]) >= 30
    assert r.informer.stats.short_watches == 100
