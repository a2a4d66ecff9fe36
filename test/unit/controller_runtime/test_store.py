"""Single decisions of the cache about time, and the chunk decoder; whole histories are in `test_store_model`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller_runtime.cache import freshness
from controller_runtime.cache.store import Store
from controller_runtime.client.chunked import ChunkDecoder
from controller_runtime.errors import MalformedReply


def pod(name, version, uid=""):
    return {"kind": "Pod", "metadata": {"name": name, "uid": uid or name, "resourceVersion": str(version)}}


def synced(*pods, version=100):
    store = Store("Pod")
    store.replace(pods, str(version), initial=True)
    return store


def test_a_late_event_of_a_known_object_is_news_and_an_echo_is_not():
    store = synced(pod("a", 50), pod("b", 51))
    assert len(store.apply([("MODIFIED", pod("a", 103)), ("MODIFIED", pod("b", 102))])) == 2
    assert store.apply([("MODIFIED", pod("b", 102)), ("MODIFIED", pod("b", 101)), ("DELETED", pod("a", 100))]) == []
    assert store.stale == 3
    assert store.resource_version == "103"


def test_a_late_event_of_an_unknown_object_is_news_unless_it_was_deleted_since():
    store = synced(pod("a", 50))
    store.apply([("DELETED", pod("a", 105))])
    assert store.apply([("MODIFIED", pod("a", 104))]) == []
    assert len(store.apply([("ADDED", pod("b", 103))])) == 1
    assert store.apply([("ADDED", pod("c", 99))]) == []
    assert sorted(store.keys()) == ["b"]


def test_when_more_deletions_happen_than_are_remembered_old_events_of_unknown_objects_are_ignored(monkeypatch):
    monkeypatch.setattr(freshness, "TOMBSTONES", 2)
    store = synced(*[pod(name, 50) for name in "abc"])
    store.apply([("DELETED", pod(name, 101 + i)) for i, name in enumerate("abc")])
    assert store.apply([("ADDED", pod("a", 101))]) == []
    assert store.keys() == []


def test_opaque_versions_are_taken_as_they_come():
    store = synced(pod("a", 50), version="x-9")
    assert len(store.apply([("MODIFIED", pod("a", "x-1"))])) == 1
    assert store.resource_version == "x-1"
    assert store.has_seen("x-1")
    assert not store.has_seen("x-0")


def test_a_list_tells_only_what_changed():
    store = synced(pod("a", 50), pod("b", 51), pod("c", 52, uid="old"))
    changes = store.replace([pod("a", 50), pod("b", 90), pod("c", 91, uid="new")], "200", initial=False)
    assert [(old and old["metadata"]["resourceVersion"], new and new["metadata"]["resourceVersion"]) for old, new, _ in changes] == [
        ("51", "90"), ("52", None), (None, "91"),
    ]  # fmt: skip


def test_objects_of_one_namespace_are_those_of_that_namespace_and_no_other():
    store = Store("Pod")
    pods = [{**pod("a", 1), "metadata": {**pod("a", 1)["metadata"], "namespace": ns}} for ns in ("x", "xy")]
    store.replace(pods, "5", initial=True)
    assert [obj["metadata"]["namespace"] for obj in store.list("x")] == ["x"]
    assert store.keys() == ["x/a", "xy/a"]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 20))
def test_chunks_come_out_whole_however_the_network_cuts_them(payloads, cut):
    wire = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(p), p) for p in payloads) + b"0\r\n\r\n"
    decoder = ChunkDecoder()
    out = b"".join(decoder.feed(wire[i : i + cut]) for i in range(0, len(wire), cut))
    assert out == b"".join(payloads)
    assert decoder.finished


@pytest.mark.parametrize("wire", [b"zz\r\n", b"x" * 300, b"3\r\nabcnonsense\r\n"])
def test_a_broken_chunk_size_is_a_malformed_reply(wire):
    with pytest.raises(MalformedReply, match="chunk size"):
        ChunkDecoder().feed(wire)


def test_what_a_list_does_not_show_any_more_is_deleted_as_last_known_also_from_the_indices():
    store = Store("Pod", {"name": lambda obj: [obj["metadata"]["name"]]})
    store.replace([pod("a", 50), pod("b", 51)], "100", initial=True)
    assert store.replace([pod("b", 51)], "200", initial=False) == [(pod("a", 50), None, True)]
    assert store.by_index("name", "a") == []
    assert store.index_values("name") == ["b"]
