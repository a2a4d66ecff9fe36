"""Listing and watching over real HTTP: which versions are asked for, and what handlers hear."""

import pytest

from test.support.fake_clock import FakeClock
from test.support.processes import wait_until
from test.support.reflector_rig import Recorder, events, hold, pod, pod_list, refuse, rigs


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


def test_the_length_of_a_watch_is_drawn_anew_each_time_so_that_many_clients_do_not_end_theirs_together(rig):
    bookmarks = [events(("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "50"}}))] * 9
    r = rig([pod_list(10)], [*bookmarks, hold])
    wait_until(lambda: len(r.server.watches()) == 10, 10)
    lengths = [int(watch.query["timeoutSeconds"]) for watch in r.server.watches()]
    assert all(300 <= seconds <= 600 for seconds in lengths)
    assert len(set(lengths)) > 5


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


def test_once_the_latest_was_listed_later_lists_ask_for_what_was_seen_again(rig):
    fail = events(("ERROR", {"kind": "Status", "code": 500}))
    r = rig([pod_list(10), refuse(410, "Expired"), pod_list(20), pod_list(30)], [fail, fail, hold])
    wait_until(lambda: r.informer.resource_version == "30", 10)
    assert [q.query.get("resourceVersion") for q in r.server.lists()] == ["0", "10", None, "20"]


def too_large(message, *causes, headers=None):
    """What a server says whose watch cache has not reached the version that was asked for."""
    body = {"kind": "Status", "code": 504, "reason": "Timeout", "message": message, "details": {"causes": list(causes)}}
    return lambda _, wire: wire.reply(504, body, headers)


BY_CAUSE = too_large("wait a little", {"reason": "ResourceVersionTooLarge"})
BY_OLD_MESSAGE = too_large("Too large resource version: 10, current: 5")


@pytest.mark.parametrize("behind", [BY_CAUSE, BY_OLD_MESSAGE], ids=["cause", "old message"])
def test_a_server_behind_our_version_is_asked_for_the_latest(rig, behind):
    r = rig([pod_list(10), behind, pod_list(20, pod("a", 12))], [refuse(410, "Expired"), hold])
    r.keys("n/a")
    assert [q.query.get("resourceVersion") for q in r.server.lists()] == ["0", "10", None]
    assert len(r.clock.pauses) == 1, "the latest is asked for at once; the one pause is for the 410"


def test_a_server_that_cannot_give_the_latest_either_is_left_alone_for_as_long_as_it_asks(rig):
    busy = too_large("wait a little", {"reason": "ResourceVersionTooLarge"}, headers={"Retry-After": "70"})
    r = rig([pod_list(10), BY_CAUSE, busy, pod_list(20, pod("a", 12))], [refuse(410, "Expired"), hold])
    r.keys("n/a")
    assert [q.query.get("resourceVersion") for q in r.server.lists()] == ["0", "10", None, None]
    assert r.clock.pauses[1] >= 70


def test_any_other_timeout_of_the_server_is_no_reason_to_doubt_our_version(rig):
    r = rig([pod_list(10), too_large("etcd is slow"), pod_list(20)], [refuse(410, "Expired"), hold])
    wait_until(lambda: r.informer.resource_version == "20", 10)
    assert [q.query.get("resourceVersion") for q in r.server.lists()] == ["0", "10", "10"]


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


def test_a_resync_repeats_the_cache_to_its_handler_only_and_sends_the_server_nothing(rig):
    clock, resyncing = FakeClock(), Recorder()
    r = rig([pod_list(10, pod("a", 3))], [hold], clock=clock)
    wait_until(lambda: r.server.watches(), 10)
    r.informer.add_handler(resyncing, resync_period_s=2)
    r.told(("add", "a", "3", True))
    sent = len(r.server.requests)
    for repeated in (1, 2, 3):
        clock.wait_for_waiters(1)
        clock.advance(2)
        wait_until(lambda n=repeated: resyncing.told[1:] == [("update", "a", "3")] * n, 10, "a resync")

    assert len(r.server.requests) == sent
    r.told(("add", "a", "3", True))


def test_a_transform_sees_each_object_once_and_the_cache_keeps_version_and_uid_but_no_managed_fields(rig):
    seen = []

    def note(obj):
        seen.append((obj["metadata"]["name"], "managedFields" in obj["metadata"]))
        obj["spec"] = {"seen": obj.get("spec", {}).get("seen", 0) + 1}
        return obj

    initial, later = [pod("a", 3), pod("b", 4)], ("MODIFIED", pod("a", 11))
    r = rig([pod_list(10, *initial)], [events(later, then=lambda wire: wire.hold())], transform=note)
    r.told(("add", "a", "3", True), ("add", "b", "4", True), ("update", "a", "11"))

    assert seen == [("a", False), ("b", False), ("a", False)]
    for name, version in (("a", "11"), ("b", "4")):
        cached = r.informer.get(name, "n")
        assert cached["metadata"] == {"name": name, "namespace": "n", "uid": f"uid-{name}", "resourceVersion": version}
        assert cached["spec"] == {"seen": 1}
