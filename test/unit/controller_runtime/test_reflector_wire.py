"""Listing and watching over real HTTP: which versions are asked for, and what handlers hear."""

import pytest

from test.support.processes import wait_until
from test.support.reflector_rig import events, hold, pod, pod_list, refuse, rigs
from test.support.scripted_server import Request, Wire


@pytest.fixture
def rig(tmp_path):
    yield from rigs(tmp_path)


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


def test_an_empty_collection_is_synced_too(rig):
    r = rig([pod_list(10)], [hold])
    wait_until(lambda: r.informer.has_synced, 10)
    assert r.informer.keys() == []


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
