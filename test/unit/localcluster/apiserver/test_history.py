"""History that only this server can be asked for: compaction, bookmarks on demand, snapshots, the log of all changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from hack.localcluster.apiserver.server import ApiServer
from test.support.raw_api import RawApi

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
Cluster = tuple[ApiServer, RawApi]
Start = Callable[..., Cluster]


def make(api: RawApi, *names: str) -> None:
    """Create ConfigMaps."""
    for name in names:
        api.post(CONFIG_MAPS, {"metadata": {"name": name}}).expect(201)


def version(api: RawApi) -> str:
    """The resourceVersion of now."""
    return str(api.get(CONFIG_MAPS).expect(200)["metadata"]["resourceVersion"])


def test_watch_from_before_the_compaction_is_told_gone(cluster: Cluster) -> None:
    server, api = cluster
    old = version(api)
    make(api, "a")
    server.compact()
    (event,) = list(api.watch(CONFIG_MAPS, resourceVersion=old))
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_watch_from_the_compaction_on_goes_on(cluster: Cluster) -> None:
    server, api = cluster
    make(api, "a")
    watch = api.watch(CONFIG_MAPS, resourceVersion=str(server.compact()))
    make(api, "b")
    assert next(watch)["object"]["metadata"]["name"] == "b"


def test_exact_list_and_next_page_from_before_the_compaction_are_410(cluster: Cluster) -> None:
    server, api = cluster
    make(api, "a", "b", "c")
    old = version(api)
    token = api.get(CONFIG_MAPS, limit=1).expect(200)["metadata"]["continue"]
    make(api, "d")
    server.compact()
    assert api.get(CONFIG_MAPS, resourceVersion=old, resourceVersionMatch="Exact").code == 410
    page = api.get(CONFIG_MAPS, limit=1, **{"continue": token})
    assert (page.code, page.reason) == (410, "Expired")


def test_history_limit_is_the_watch_window(start: Start) -> None:
    _, api = start(history_limit=2)
    old = version(api)
    make(api, "a", "b", "c", "d")
    assert next(api.watch(CONFIG_MAPS, resourceVersion=old))["type"] == "ERROR"


def test_bookmarks_come_at_their_interval(start: Start) -> None:
    _, api = start(bookmark_interval_s=0.05)
    watch = api.watch(CONFIG_MAPS, resourceVersion=version(api), allowWatchBookmarks="true")
    marks = list(itertools.islice(watch, 2))
    assert [mark["type"] for mark in marks] == ["BOOKMARK", "BOOKMARK"]
    assert marks[1]["object"]["metadata"]["resourceVersion"] == version(api)


def test_restored_snapshot_goes_back_in_time(cluster: Cluster) -> None:
    server, api = cluster
    make(api, "a")
    then, state = version(api), server.snapshot()
    api.delete(f"{CONFIG_MAPS}/a").expect(200)
    make(api, "b")
    server.restore(state)
    assert [item["metadata"]["name"] for item in api.get(CONFIG_MAPS).expect(200)["items"]] == ["a"]
    assert version(api) == then


def test_restored_snapshot_can_keep_counting(cluster: Cluster) -> None:
    server, api = cluster
    state = server.snapshot()
    make(api, "a")
    now = int(version(api))
    server.restore(state, keep_counting=True)
    assert int(version(api)) > now
    assert api.get(f"{CONFIG_MAPS}/a").code == 404


def test_snapshot_brings_custom_types_to_another_server(start: Start) -> None:
    first, api = start()
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version_one = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": "ex.io", "scope": "Cluster", "names": {"kind": "Foo", "plural": "foos"}, "versions": [version_one]}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    api.post(crds, {"metadata": {"name": "foos.ex.io"}, "spec": spec}).expect(201)
    api.post("/apis/ex.io/v1/foos", {"apiVersion": "ex.io/v1", "kind": "Foo", "metadata": {"name": "f"}}).expect(201)
    second, other = start()
    second.restore(first.snapshot())
    assert other.get("/apis/ex.io/v1/foos/f").expect(200)["metadata"]["name"] == "f"
    other.delete(f"{crds}/foos.ex.io").expect(200)
    assert other.get("/apis/ex.io/v1/foos").code == 404


def test_restore_ends_watches(cluster: Cluster) -> None:
    server, api = cluster
    watch = api.watch(CONFIG_MAPS, resourceVersion=version(api))
    make(api, "a")
    assert next(watch)["object"]["metadata"]["name"] == "a"
    server.restore(server.snapshot())
    assert list(watch) == []


def test_log_has_every_change_with_its_author(cluster: Cluster) -> None:
    server, api = cluster
    make(api, "a")
    api.delete(f"{CONFIG_MAPS}/a").expect(200)
    ours = [change for change in server.events_log if change.key == ("default", "a")]
    assert [change.event for change in ours] == ["ADDED", "DELETED"]
    assert {change.client for change in ours} == {"admin conformance/1"}
    assert ours[0].rv < ours[1].rv


def test_server_starts_and_stops_again(start: Start) -> None:
    server, api = start()
    make(api, "a")
    port = server.port
    server.stop()
    again, other = start(port=port)
    assert again.port == port
    assert other.get(f"{CONFIG_MAPS}/a").code == 404
