"""Watches: what comes, in which order, from where, and how they end."""

from __future__ import annotations

import itertools
from typing import Any

from test.conformance.widgets import config_map, config_maps, widget, widgets
from test.support.raw_api import TABLE, RawApi

LABEL = "app=watched"


def labelled(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap that the watches of this file select."""
    return config_map(name, {"app": "watched"}, **data)


def seen(events: Any) -> list[tuple[str, str]]:
    """(type, name) of events."""
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def version(api: RawApi, path: str) -> str:
    """The resourceVersion of a list of now."""
    return str(api.get(path).expect(200)["metadata"]["resourceVersion"])


def test_watch_tells_every_change_in_order(api: RawApi, namespace: str) -> None:
    path = config_maps(namespace)
    since = version(api, path)
    api.post(path, labelled("a")).expect(201)
    api.patch(f"{path}/a", {"data": {"x": "1"}}).expect(200)
    api.post(path, labelled("b")).expect(201)
    api.delete(f"{path}/a").expect(200)
    events = list(itertools.islice(api.watch(path, resourceVersion=since, labelSelector=LABEL), 4))
    assert seen(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)
    assert events[0]["object"]["kind"] == "ConfigMap"
    assert events[3]["object"]["data"] == {"x": "1"}


def test_watch_goes_on_live(api: RawApi, namespace: str) -> None:
    path = widgets(namespace)
    watch = api.watch(path, resourceVersion=version(api, path))
    api.post(path, widget("one")).expect(201)
    assert seen([next(watch)]) == [("ADDED", "one")]
    api.patch(f"{path}/one/status", {"status": {"phase": "A"}}).expect(200)
    assert next(watch)["object"]["status"] == {"phase": "A"}
    watch.close()


def test_watch_resumes_where_it_stopped(api: RawApi, namespace: str) -> None:
    path = config_maps(namespace)
    since = version(api, path)
    for name in ("a", "b", "c"):
        api.post(path, labelled(name)).expect(201)
    first = next(api.watch(path, resourceVersion=since, labelSelector=LABEL))
    resumed = api.watch(path, resourceVersion=first["object"]["metadata"]["resourceVersion"], labelSelector=LABEL)
    assert seen(itertools.islice(resumed, 2)) == [("ADDED", "b"), ("ADDED", "c")]


def test_watch_without_a_version_begins_with_what_is_there(api: RawApi, namespace: str) -> None:
    path = config_maps(namespace)
    for name in ("b", "a"):
        api.post(path, labelled(name)).expect(201)
    watch = api.watch(path, labelSelector=LABEL)
    assert sorted(seen(itertools.islice(watch, 2))) == [("ADDED", "a"), ("ADDED", "b")]
    api.post(path, labelled("c")).expect(201)
    assert seen([next(watch)]) == [("ADDED", "c")]


def test_object_that_stops_fitting_the_selector_is_deleted_for_the_watcher(api: RawApi, namespace: str) -> None:
    path = config_maps(namespace)
    api.post(path, config_map("a")).expect(201)
    watch = api.watch(path, resourceVersion=version(api, path), labelSelector=LABEL)
    api.patch(f"{path}/a", {"metadata": {"labels": {"app": "watched"}}}).expect(200)
    api.patch(f"{path}/a", {"data": {"x": "1"}}).expect(200)
    last = api.patch(f"{path}/a", {"metadata": {"labels": {"app": "other"}}}).expect(200)
    events = list(itertools.islice(watch, 3))
    assert seen(events) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert events[2]["object"]["metadata"]["resourceVersion"] == last["metadata"]["resourceVersion"]


def test_watch_of_one_object_sees_no_other(api: RawApi, namespace: str) -> None:
    path = config_maps(namespace)
    since = version(api, path)
    for name in ("a", "b"):
        api.post(path, labelled(name)).expect(201)
    assert seen([next(api.watch(path, resourceVersion=since, fieldSelector="metadata.name=b"))]) == [("ADDED", "b")]


def test_watch_ends_at_its_timeout(api: RawApi, namespace: str) -> None:
    path = widgets(namespace)
    assert list(api.watch(path, resourceVersion=version(api, path), timeoutSeconds=1)) == []


def test_last_finalizer_going_is_a_deletion(api: RawApi, namespace: str) -> None:
    path = widgets(namespace)
    body = widget()
    body["metadata"]["finalizers"] = ["example.com/hold"]
    api.post(path, body).expect(201)
    watch = api.watch(path, resourceVersion=version(api, path))
    api.delete(f"{path}/w").expect(200)
    api.patch(f"{path}/w", {"metadata": {"finalizers": None}}).expect(200)
    assert seen(itertools.islice(watch, 2)) == [("MODIFIED", "w"), ("DELETED", "w")]


def test_initial_events_end_with_a_marked_bookmark(api: RawApi, namespace: str) -> None:
    path = widgets(namespace)
    api.post(path, widget("one")).expect(201)
    options = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    watch = api.watch(path, **options)
    added, bookmark = itertools.islice(watch, 2)
    assert seen([added]) == [("ADDED", "one")]
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["object"]["kind"] == "Widget"
    api.post(path, widget("two")).expect(201)
    assert seen([next(watch)]) == [("ADDED", "two")]


def test_initial_events_need_a_version_match(api: RawApi, namespace: str) -> None:
    assert api.get(widgets(namespace), watch="true", sendInitialEvents="true").code == 422


def test_watch_can_come_as_tables(api: RawApi, namespace: str) -> None:
    path = widgets(namespace)
    api.post(path, widget()).expect(201)
    since = version(api, path)
    api.patch(f"{path}/w", {"spec": {"size": 6}}).expect(200)
    event = next(api.watch(path, accept=TABLE, resourceVersion=since))
    assert (event["type"], event["object"]["kind"]) == ("MODIFIED", "Table")
    assert event["object"]["rows"][0]["cells"][:2] == ["w", 6]
