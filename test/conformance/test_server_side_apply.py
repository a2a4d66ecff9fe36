"""Server-side apply: making, merging, owning, giving up, conflicts, and what it keeps from other writers."""

from __future__ import annotations

from typing import Any

from test.conformance.widgets import config_maps, widget, widgets
from test.support.raw_api import RawApi


def intent(**spec: Any) -> dict[str, Any]:
    """A Widget as an intent: only what the applier cares about."""
    return widget() | {"spec": spec}


def managers(obj: Any) -> set[tuple[str, str, str]]:
    """(manager, operation, subresource) of the owners."""
    return {
        (entry["manager"], entry["operation"], entry.get("subresource", ""))
        for entry in obj["metadata"]["managedFields"]
    }


def test_apply_creates_and_owns(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    made = api.apply(path, intent(size=5), "one").expect(201)
    assert made["metadata"]["uid"]
    assert managers(made) == {("one", "Apply", "")}
    (entry,) = made["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:spec": {"f:size": {}}}
    assert (entry["fieldsType"], bool(entry["time"])) == ("FieldsV1", True)


def test_same_intent_again_changes_nothing(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    first = api.apply(path, intent(size=5), "one").expect(201)
    second = api.apply(path, intent(size=5), "one").expect(200)
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_field_left_out_of_the_next_intent_is_removed(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5, limit=9, labels={"a": "1", "b": "2"}), "one").expect(201)
    after = api.apply(path, intent(size=5, labels={"a": "1"}), "one").expect(200)
    assert after["spec"] == {"size": 5, "mode": "fast", "labels": {"a": "1"}}


def test_field_of_another_owner_is_a_conflict_that_names_the_owner(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5), "one").expect(201)
    refused = api.apply(path, intent(size=6), "two")
    assert (refused.code, refused.reason) == (409, "Conflict")
    (cause,) = refused.body["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".spec.size")
    assert cause["message"].startswith('conflict with "one"')
    assert api.get(path).expect(200)["spec"]["size"] == 5


def test_force_takes_a_field_over(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5, limit=9), "one").expect(201)
    after = api.apply(path, intent(size=6), "two", force="true").expect(200)
    assert after["spec"]["size"] == 6
    owned = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in after["metadata"]["managedFields"]}
    assert owned == {"one": {"f:limit": {}}, "two": {"f:size": {}}}


def test_equal_values_are_shared(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5, limit=9), "one").expect(201)
    api.apply(path, intent(size=5), "two").expect(200)
    after = api.apply(path, intent(limit=9) | {"spec": {"size": 5}}, "one").expect(200)
    assert "limit" not in after["spec"]
    left = api.apply(path, intent(size=5), "two").expect(200)
    assert left["spec"]["size"] == 5


def test_items_of_a_map_list_belong_to_different_owners(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5, parts=[{"name": "a", "value": "1"}]), "one").expect(201)
    both = api.apply(path, intent(parts=[{"name": "b", "value": "2"}]), "two").expect(200)
    assert [part["name"] for part in both["spec"]["parts"]] == ["a", "b"]
    after = api.apply(path, intent(size=5), "one").expect(200)
    assert after["spec"]["parts"] == [{"name": "b", "value": "2"}]


def test_ordinary_update_takes_fields_away(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5), "one").expect(201)
    after = api.patch(path, {"spec": {"size": 7}}, fieldManager="editor").expect(200)
    assert ("editor", "Update", "") in managers(after)
    assert api.apply(path, intent(size=5), "one").code == 409


def test_status_has_owners_of_its_own(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.apply(path, intent(size=5), "one").expect(201)
    after = api.apply(f"{path}/status", widget() | {"spec": {}, "status": {"phase": "A"}}, "two").expect(200)
    assert (after["status"], after["spec"]["size"]) == ({"phase": "A"}, 5)
    assert managers(after) == {("one", "Apply", ""), ("two", "Apply", "status")}


def test_apply_needs_a_manager(api: RawApi, namespace: str) -> None:
    refused = api.call("PATCH", f"{widgets(namespace)}/w", intent(size=5), kind="application/apply-patch+yaml")
    assert refused.code in (400, 422)
    assert "fieldManager" in refused.body["message"]


def test_intent_with_managed_fields_is_refused(api: RawApi, namespace: str) -> None:
    body = intent(size=5)
    body["metadata"] = {"name": "w", "managedFields": [{"manager": "x", "operation": "Apply"}]}
    assert api.apply(f"{widgets(namespace)}/w", body, "one").code == 400


def test_invalid_intent_is_refused(api: RawApi, namespace: str) -> None:
    refused = api.apply(f"{widgets(namespace)}/w", intent(size=0), "one")
    assert (refused.code, refused.causes) == (422, {"spec.size": "FieldValueInvalid"})


def test_apply_reads_yaml(api: RawApi, namespace: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: 'yes'\n"
    path = f"{config_maps(namespace)}/c"
    made = api.call("PATCH", path, body, kind="application/apply-patch+yaml", fieldManager="one").expect(201)
    assert made["data"] == {"a": "yes"}
