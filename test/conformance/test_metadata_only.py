"""Objects as their metadata only, which informers of large objects ask for, and Accept headers that no server can satisfy."""

from __future__ import annotations

import pytest

from test.conformance.widgets import config_map, config_maps, widget, widgets
from test.support.raw_api import METADATA, METADATA_LIST, RawApi

PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}
FIRST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
OLD = METADATA.replace("v=v1", "v=v1beta1")
UNKNOWN = METADATA.replace("v=v1", "v=v2")
CHOICES = f"application/vnd.kubernetes.protobuf;q=0.1,{UNKNOWN},{METADATA},application/json"
"""The first choice that is served wins, the least wanted last."""


@pytest.fixture
def path(api: RawApi, namespace: str) -> str:
    """The ConfigMaps of a namespace, one of which is ours; real servers add one of their own."""
    api.post(config_maps(namespace), config_map(labels={"a": "b"}, key="value")).expect(201)
    return config_maps(namespace)


def test_list_of_metadata_has_no_data_and_names_each_item_s_kind(api: RawApi, path: str) -> None:
    whole = api.get(f"{path}/c").expect(200)
    found = api.call("GET", path, accept=METADATA_LIST, labelSelector="a=b").expect(200)
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert found["metadata"]["resourceVersion"].isdigit()
    assert found["items"] == [{**PARTIAL, "metadata": whole["metadata"]}]


def test_pages_of_metadata_show_one_moment(api: RawApi, path: str) -> None:
    api.post(path, config_map("d", {"a": "b"})).expect(201)
    first = api.call("GET", path, accept=METADATA_LIST, limit=1, labelSelector="a=b").expect(200)
    api.post(path, config_map("e", {"a": "b"})).expect(201)
    token = first["metadata"]["continue"]
    second = api.call("GET", path, accept=METADATA_LIST, limit=9, labelSelector="a=b", **{"continue": token}).expect(
        200
    )
    assert [item["metadata"]["name"] for item in first["items"] + second["items"]] == ["c", "d"]
    assert second["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}


def test_metadata_of_one_custom_object(api: RawApi, namespace: str) -> None:
    whole = api.post(widgets(namespace), widget()).expect(201)
    found = api.call("GET", f"{widgets(namespace)}/w", accept=METADATA).expect(200)
    assert found == {**PARTIAL, "metadata": whole["metadata"]}


def test_reply_to_a_write_may_be_metadata_only(api: RawApi, path: str) -> None:
    change = {"metadata": {"labels": {"x": "y"}}}
    found = api.call("PATCH", f"{path}/c", change, kind="application/merge-patch+json", accept=METADATA).expect(200)
    assert (found["kind"], found["metadata"]["labels"], "data" in found) == (
        PARTIAL["kind"],
        {"a": "b", "x": "y"},
        False,
    )


def test_watch_of_metadata_tells_of_each_change_and_of_data_by_its_version_alone(api: RawApi, path: str) -> None:
    start = api.get(path).expect(200)["metadata"]["resourceVersion"]
    changed = api.patch(f"{path}/c", {"data": {"key": "other"}}).expect(200)
    api.delete(f"{path}/c").expect(200)
    events = list(api.watch(path, accept=METADATA, resourceVersion=start, labelSelector="a=b", timeoutSeconds=1))
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]
    assert events[0]["object"] == {**PARTIAL, "metadata": changed["metadata"]}
    assert set(events[1]["object"]) == {*PARTIAL, "metadata"}


def test_watch_of_metadata_that_starts_with_everything_says_when_that_was_all(api: RawApi, path: str) -> None:
    events = api.watch(path, accept=METADATA, labelSelector="a=b", timeoutSeconds=5, **FIRST)
    first, mark = next(events), next(events)
    events.close()
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "c")
    metadata = mark["object"]["metadata"]
    assert (mark["type"], mark["object"]) == ("BOOKMARK", {**PARTIAL, "metadata": metadata})
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_older_version_of_the_form_is_served(api: RawApi, path: str) -> None:
    assert api.call("GET", f"{path}/c", accept=OLD).expect(200)["apiVersion"] == "meta.k8s.io/v1beta1"


def test_first_choice_that_is_served_wins(api: RawApi, path: str) -> None:
    assert api.call("GET", f"{path}/c", accept=CHOICES).expect(200)["kind"] == PARTIAL["kind"]


@pytest.mark.parametrize(
    ("tail", "accept"),
    [
        pytest.param("", METADATA, id="a list as one object"),
        pytest.param("/c", METADATA_LIST, id="one object as a list"),
        pytest.param("/c", UNKNOWN, id="a version that is none"),
        pytest.param("/c", METADATA.replace("meta.k8s.io", "other"), id="a group that is none"),
        pytest.param("/c", "application/json;as=Nonsense;g=meta.k8s.io;v=v1", id="a form that is none"),
        pytest.param("/c", "text/html", id="a web page"),
        pytest.param("/c", "application/*", id="a pattern"),
        pytest.param("/nobody", "text/html", id="a web page of nothing"),
        pytest.param("?watch=1", UNKNOWN, id="a watch in a version that is none"),
        pytest.param("?watch=1", "application/yaml", id="a watch in YAML"),
    ],
)
def test_form_that_no_server_has_is_not_acceptable(api: RawApi, path: str, tail: str, accept: str) -> None:
    refused = api.call("GET", path + tail, accept=accept)
    assert refused.code == 406
    assert refused.reason == "NotAcceptable" or "reason: NotAcceptable" in refused.body  # YAML where that was asked for


def test_watch_that_asks_for_lists_ends_at_its_first_event(api: RawApi, path: str) -> None:
    assert list(api.watch(path, accept=METADATA_LIST, timeoutSeconds=10)) == []
