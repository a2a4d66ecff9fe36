"""Lists: selectors, pages that show one moment, and what a resourceVersion asks for."""

from __future__ import annotations

from typing import Any

import pytest

from test.conformance.widgets import config_map, config_maps, widget, widgets
from test.support.raw_api import RawApi


def names(body: Any) -> list[str]:
    """The names in a list."""
    return [item["metadata"]["name"] for item in body["items"]]


@pytest.fixture
def five(api: RawApi, namespace: str) -> str:
    """The path of five labelled ConfigMaps `c0` to `c4`."""
    for number in range(5):
        labels = {"parity": "odd" if number % 2 else "even", "number": str(number)} | (
            {"big": ""} if number > 2 else {}
        )
        api.post(config_maps(namespace), config_map(f"c{number}", labels)).expect(201)
    return config_maps(namespace)


def ours(api: RawApi, path: str, **query: Any) -> list[str]:
    """The names of the labelled ConfigMaps in a list (namespaces on real clusters hold others)."""
    return [name for name in names(api.get(path, **query).expect(200)) if name.startswith("c")]


def test_list_has_kind_version_and_order(api: RawApi, five: str) -> None:
    found = api.get(five, labelSelector="number").expect(200)
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(found) == ["c0", "c1", "c2", "c3", "c4"]
    assert "kind" not in found["items"][0]
    assert found["metadata"]["resourceVersion"].isdigit()


def test_items_of_a_custom_list_carry_their_kind(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    found = api.get(widgets(namespace)).expect(200)
    assert (found["kind"], found["items"][0]["kind"]) == ("WidgetList", "Widget")


@pytest.mark.parametrize(
    ("selector", "wanted"),
    [
        ("parity=odd", ["c1", "c3"]),
        ("parity==odd", ["c1", "c3"]),
        ("parity!=odd,number", ["c0", "c2", "c4"]),
        ("number in (1,2)", ["c1", "c2"]),
        ("number notin (1,2),number", ["c0", "c3", "c4"]),
        ("big", ["c3", "c4"]),
        ("!big,number", ["c0", "c1", "c2"]),
        ("parity=odd,number in (3,4)", ["c3"]),
        ("parity=none", []),
    ],
)
def test_label_selector_selects(api: RawApi, five: str, selector: str, wanted: list[str]) -> None:
    assert ours(api, five, labelSelector=selector) == wanted


def test_broken_label_selector_is_a_bad_request(api: RawApi, five: str) -> None:
    assert api.get(five, labelSelector="number in (1").code == 400


def test_field_selector_selects_by_name(api: RawApi, five: str) -> None:
    assert ours(api, five, fieldSelector="metadata.name=c2") == ["c2"]
    assert "c2" not in ours(api, five, fieldSelector="metadata.name!=c2")


def test_unsupported_field_is_a_bad_request(api: RawApi, five: str) -> None:
    refused = api.get(five, fieldSelector="data.a=b")
    assert (refused.code, refused.reason) == (400, "BadRequest")


def test_pages_show_the_moment_of_the_first(api: RawApi, five: str) -> None:
    first = api.get(five, labelSelector="number", limit=2).expect(200)
    api.delete(f"{five}/c3").expect(200)
    api.post(five, config_map("c9", {"number": "9"})).expect(201)
    second = api.get(five, labelSelector="number", limit=2, **{"continue": first["metadata"]["continue"]}).expect(200)
    third = api.get(five, labelSelector="number", limit=2, **{"continue": second["metadata"]["continue"]}).expect(200)
    assert (names(first), names(second), names(third)) == (["c0", "c1"], ["c2", "c3"], ["c4"])
    assert not third["metadata"].get("continue")
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, third)}
    assert len(versions) == 1


def test_broken_continue_token_is_a_bad_request(api: RawApi, five: str) -> None:
    assert api.get(five, limit=2, **{"continue": "nonsense"}).code == 400


def test_exact_version_shows_the_past(api: RawApi, five: str) -> None:
    then = api.get(five).expect(200)["metadata"]["resourceVersion"]
    api.delete(f"{five}/c0").expect(200)
    api.patch(f"{five}/c1", {"data": {"new": "1"}}).expect(200)
    past = api.get(five, resourceVersion=then, resourceVersionMatch="Exact", labelSelector="number").expect(200)
    assert names(past) == ["c0", "c1", "c2", "c3", "c4"]
    assert "new" not in past["items"][1].get("data", {})
    assert past["metadata"]["resourceVersion"] == then


def test_not_older_than_is_at_least_as_new(api: RawApi, five: str) -> None:
    then = api.patch(f"{five}/c1", {"data": {"new": "1"}}).expect(200)["metadata"]["resourceVersion"]
    found = api.get(five, resourceVersion=then, resourceVersionMatch="NotOlderThan").expect(200)
    assert int(found["metadata"]["resourceVersion"]) >= int(then)
    assert ours(api, five, resourceVersion="0")


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        {"resourceVersionMatch": "Sometimes", "resourceVersion": "1"},
    ],
)
def test_senseless_version_match_is_invalid(api: RawApi, five: str, query: dict[str, str]) -> None:
    assert api.get(five, **query).code == 422


def test_version_from_the_future_times_out(api: RawApi, five: str) -> None:
    refused = api.get(five, resourceVersion=str(2**40), resourceVersionMatch="NotOlderThan")
    assert (refused.code, refused.reason) == (504, "Timeout")
    assert refused.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_table_has_columns_and_cells(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    api.patch(f"{widgets(namespace)}/w/status", {"status": status}).expect(200)
    table = api.table(widgets(namespace))
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    headers = [(column["name"], column["type"], column["priority"]) for column in table["columnDefinitions"]]
    assert headers == [
        ("Name", "string", 0),
        ("Size", "integer", 0),
        ("Ready", "string", 0),
        ("Mode", "string", 1),
        ("Age", "date", 0),
    ]
    (row,) = table["rows"]
    assert row["cells"][:4] == ["w", 5, "True", "fast"]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["name"] == "w"


def test_cell_without_a_value_is_null(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    assert api.table(f"{widgets(namespace)}/w")["rows"][0]["cells"][2] is None


def test_built_in_table_shows_what_matters(api: RawApi, namespace: str) -> None:
    api.post(config_maps(namespace), config_map("c", a="1", b="2")).expect(201)
    table = api.table(f"{config_maps(namespace)}/c")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["c", 2]


def test_metadata_alone_can_be_asked_for(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    found = api.call("GET", widgets(namespace), accept=accept).expect(200)
    assert found["kind"] == "PartialObjectMetadataList"
    assert set(found["items"][0]) <= {"kind", "apiVersion", "metadata"}
