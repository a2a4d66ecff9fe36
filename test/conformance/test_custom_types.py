"""Custom types: validation with its causes, pruning, defaults, CEL rules, ratcheting, discovery."""

from __future__ import annotations

import os
from typing import Any

import pytest

from test.conformance import widgets as types
from test.conformance.widgets import widget, widgets
from test.support.raw_api import RawApi, eventually

OUT_OF_FORMAT = "boundary value must be of type integer"


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"size": "big"}, "spec.size", "FieldValueTypeInvalid"),
        ({"size": 0}, "spec.size", "FieldValueInvalid"),
        ({"size": 101}, "spec.size", "FieldValueInvalid"),
        ({"mode": "warp"}, "spec.mode", "FieldValueNotSupported"),
        ({"name": "UPPER"}, "spec.name", "FieldValueInvalid"),
        ({"name": "waytoolong"}, "spec.name", "FieldValueTooLong"),
        ({"name": "a"}, "spec.name", "FieldValueInvalid"),
        ({"parts": [{"value": "x"}]}, "spec.parts[0].name", "FieldValueRequired"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]", "FieldValueDuplicate"),
        ({"parts": [{"name": name} for name in "abcd"]}, "spec.parts", "FieldValueTooMany"),
        ({"tags": ["a", "a"]}, "spec.tags[1]", "FieldValueDuplicate"),
        ({"labels": {"a": 1}}, "spec.labels.a", "FieldValueTypeInvalid"),
        ({"port": True}, "spec.port", "FieldValueTypeInvalid"),
        ({"size": 9, "limit": 3}, "spec", "FieldValueInvalid"),
    ],
)
def test_bad_value_is_refused_by_field_and_reason(
    api: RawApi, namespace: str, spec: dict[str, Any], field: str, reason: str
) -> None:
    refused = api.post(widgets(namespace), widget(**spec))
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert refused.causes[field] == reason
    assert refused.body["details"]["kind"] == "Widget"


@pytest.mark.parametrize("field", ["wide", "deep", "bare", "shorter"])
@pytest.mark.parametrize("value", [0, 5])
def test_bound_that_a_float_takes_out_of_its_format_refuses_every_value(
    api: RawApi, namespace: str, field: str, value: int
) -> None:
    """So no schema may have a bound of 2**63 - 1, as wide as that looks. Kubernetes 1.34 lets that bound overflow, and knows the others."""
    reply = api.post(widgets(namespace), widget(**{field: value}))

    overflows = os.environ.get("ENVTEST_MINOR") == "1.34"
    if overflows and field in ("deep", "shorter"):
        assert reply.code == 201, reply.body
        return
    assert (reply.code, reply.reason) == (422, "Invalid")
    where, words = (f"spec.{field}", f"less than or equal to {-(2**63)}") if overflows else ("<nil>", OUT_OF_FORMAT)
    assert reply.causes[where] == "FieldValueInvalid"
    assert words in reply.body["message"]


@pytest.mark.parametrize(("spec", "code"), [({"long": 2**53 - 1}, 201), ({"long": 2**53}, 422), ({"short": 5}, 201)])
def test_bound_that_a_float_holds_is_a_bound(api: RawApi, namespace: str, spec: dict[str, Any], code: int) -> None:
    assert api.post(widgets(namespace), widget(**spec)).code == code


def test_missing_required_field_is_named(api: RawApi, namespace: str) -> None:
    body = widget()
    del body["spec"]["size"]
    refused = api.post(widgets(namespace), body)
    assert refused.causes["spec.size"] == "FieldValueRequired"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"size": "big"}, "spec.size"),
        ({"mode": "warp"}, "spec.mode"),
        ({"name": "waytoolong"}, "spec.name"),
        ({"parts": [{"value": "x"}]}, "spec.parts[0].name"),
        ({"parts": [{"name": name} for name in "abcd"]}, "spec.parts"),
    ],
)
def test_rules_are_not_asked_about_an_object_that_does_not_fit_its_schema(
    api: RawApi, namespace: str, spec: dict[str, Any], field: str
) -> None:
    refused = api.post(widgets(namespace), widget(**({"size": 9, "limit": 3} | spec)))
    assert set(refused.causes) == {field, "<nil>"}
    texts = {cause["field"]: cause["message"] for cause in refused.body["details"]["causes"]}
    assert texts["<nil>"].startswith("Invalid value: null: some validation rules were not checked")


def test_wrong_type_is_named_in_place_of_the_value(api: RawApi, namespace: str) -> None:
    refused = api.post(widgets(namespace), widget(size="big"))
    text = 'Invalid value: "string": spec.size in body must be of type integer: "string"'
    assert text in refused.body["message"]


def test_all_faults_are_told_at_once(api: RawApi, namespace: str) -> None:
    refused = api.post(widgets(namespace), widget(size=0, mode="warp"))
    assert {"spec.size", "spec.mode"} <= set(refused.causes)


@pytest.mark.parametrize("port", [80, "http"])
def test_int_or_string_takes_both(api: RawApi, namespace: str, port: Any) -> None:
    assert api.post(widgets(namespace), widget(port=port)).expect(201)["spec"]["port"] == port


def test_defaults_are_filled_in(api: RawApi, namespace: str) -> None:
    spec = api.post(widgets(namespace), widget(nested={})).expect(201)["spec"]
    assert spec == {"size": 5, "mode": "fast", "nested": {"level": 3}}


def test_null_gives_way_to_the_default_unless_nullable(api: RawApi, namespace: str) -> None:
    spec = api.post(widgets(namespace), widget(mode=None, maybe=None)).expect(201)["spec"]
    assert (spec["mode"], spec["maybe"]) == ("fast", None)


def test_unknown_fields_are_pruned_with_a_warning(api: RawApi, namespace: str) -> None:
    reply = api.post(widgets(namespace), widget(bogus=1, free={"any": {"thing": 1}}))
    spec = reply.expect(201)["spec"]
    assert ("bogus" in spec, spec["free"]) == (False, {"any": {"thing": 1}})
    assert 'unknown field \\"spec.bogus\\"' in reply.headers["Warning"]


def test_refusal_warns_of_unknown_fields_too(api: RawApi, namespace: str) -> None:
    refused = api.post(widgets(namespace), widget(size=0, bogus=1))
    assert (refused.code, set(refused.causes)) == (422, {"spec.size"})
    assert refused.headers["Warning"] == '299 - "unknown field \\"spec.bogus\\""'


def test_unknown_fields_are_errors_for_the_strict(api: RawApi, namespace: str) -> None:
    refused = api.post(widgets(namespace), widget(bogus=1), fieldValidation="Strict")
    assert (refused.code, refused.reason) == (400, "BadRequest")
    assert 'unknown field "spec.bogus"' in refused.body["message"]


def test_rule_speaks_its_message(api: RawApi, namespace: str) -> None:
    refused = api.post(widgets(namespace), widget(size=9, limit=3))
    assert refused.body["details"]["causes"][0]["message"].endswith("over the low limit")


def test_transition_rule_compares_with_the_old_value(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget(color="red")).expect(201)
    path = f"{widgets(namespace)}/w"
    refused = api.patch(path, {"spec": {"color": "blue"}})
    assert (refused.code, refused.causes) == (422, {"spec.color": "FieldValueForbidden"})
    assert api.patch(path, {"spec": {"color": "red", "size": 6}}).code == 200


def test_rule_names_the_field_that_it_is_about(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    refused = api.patch(f"{widgets(namespace)}/w", {"spec": {"color": "red"}})
    assert refused.causes == {"spec.color": "FieldValueInvalid"}


def test_transition_rule_does_not_hinder_creation(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget(color="red")).expect(201)


def test_bad_status_is_refused(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    refused = api.patch(f"{widgets(namespace)}/w/status", {"status": {"phase": 3}})
    assert (refused.code, refused.causes["status.phase"]) == (422, "FieldValueTypeInvalid")


def test_definition_is_established_and_keeps_its_names(api: RawApi) -> None:
    found = api.get(f"{types.CRDS}/widgets.{types.GROUP}").expect(200)
    conditions = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}
    assert conditions["Established"] == conditions["NamesAccepted"] == "True"
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["spec"]["names"]["listKind"] == "WidgetList"


def test_objects_are_served_in_the_asked_version_whichever_was_stored_before(api: RawApi) -> None:
    """The way over from another storage version: it is changed, each object is written once, and only then the old one is dropped."""
    definition = types.definition_of("Movable", "movables", {"type": "object"})
    path, name = types.CRDS, definition["metadata"]["name"]
    new = definition["spec"]["versions"][0]
    old = {**new, "name": "v1beta1"}
    definition["spec"]["versions"] = [{**new, "storage": False}, old]
    api.post(path, definition).expect(201)
    objects = f"/apis/{types.GROUP}/v1/namespaces/default/movables"
    eventually(lambda: api.get(objects).code, lambda code: code == 200)
    body = {"apiVersion": f"{types.GROUP}/v1", "kind": "Movable", "metadata": {"name": "m"}}
    api.post(objects, body).expect(201)

    api.patch(f"{path}/{name}", {"spec": {"versions": [new, {**old, "storage": False}]}}).expect(200)
    for version in ("v1", "v1beta1"):
        found = _once_served(api, f"/apis/{types.GROUP}/{version}/namespaces/default/movables")["items"]
        assert [item["apiVersion"] for item in found] == [f"{types.GROUP}/{version}"]
    kept = _once_served(api, f"{objects}/m")
    before = kept["metadata"]["resourceVersion"]
    eventually(  # a PUT that changes nothing is a write until the object is kept in the new version
        lambda: api.put(f"{objects}/m", kept).expect(200)["metadata"]["resourceVersion"], lambda now: now != before
    )
    api.patch(f"{path}/{name}/status", {"status": {"storedVersions": ["v1"]}}).expect(200)
    api.patch(f"{path}/{name}", {"spec": {"versions": [new]}}).expect(200)
    assert _once_served(api, f"{objects}/m")["apiVersion"] == f"{types.GROUP}/v1"
    api.delete(f"{path}/{name}").expect(200)
    eventually(lambda: api.get(f"{path}/{name}").code, lambda code: code == 404)


def _once_served(api: RawApi, path: str) -> dict[str, Any]:
    """A server says 429 ("storage is (re)initializing") for a moment after a definition has changed, and clients ask again."""
    return eventually(lambda: api.get(path), lambda reply: reply.code != 429).expect(200)


def test_definition_under_a_wrong_name_is_invalid(api: RawApi) -> None:
    body = types.definitions()[0]
    body["metadata"]["name"] = f"wrong.{types.GROUP}"
    refused = api.post(types.CRDS, body)
    assert (refused.code, "metadata.name" in refused.causes) == (422, True)


def test_definition_with_a_broken_rule_is_invalid(api: RawApi) -> None:
    body = types.definitions()[1]
    body["metadata"]["name"] = f"brokens.{types.GROUP}"
    body["spec"]["names"] = {"plural": "brokens", "kind": "Broken"}
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "self.nosuchfunction()"}]
    assert api.post(types.CRDS, body).code == 422


@pytest.mark.parametrize("field", ["exclusiveMaximum", "exclusiveMinimum"])
def test_definition_with_a_bound_of_newer_drafts_does_not_decode(api: RawApi, field: str) -> None:
    body = types.definitions()[1]
    body["metadata"]["name"] = f"newers.{types.GROUP}"
    body["spec"]["names"] = {"plural": "newers", "kind": "Newer"}
    schema = body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"] = {"type": "object", "properties": {"n": {"type": "integer", field: 100}}}

    refused = api.post(types.CRDS, body)

    assert (refused.code, refused.reason) == (400, "BadRequest")
    where = f"JSONSchemaProps.spec.versions.schema.openAPIV3Schema.properties.properties.{field}"
    assert f"json: cannot unmarshal number into Go struct field {where} of type bool" in refused.body["message"]


def test_discovery_lists_the_type(api: RawApi) -> None:
    found = api.get(f"/apis/{types.API_VERSION}").expect(200)
    entries = {entry["name"]: entry for entry in found["resources"]}
    assert entries["widgets"]["shortNames"] == ["wid"]
    assert set(entries["widgets"]["verbs"]) >= {"create", "get", "list", "watch", "patch", "update", "delete"}
    assert "widgets/status" in entries
    assert "plains/status" not in entries
    group = api.get(f"/apis/{types.GROUP}").expect(200)
    assert group["preferredVersion"] == {"groupVersion": types.API_VERSION, "version": "v1"}


def test_openapi_describes_the_type(api: RawApi) -> None:
    index = api.get("/openapi/v3").expect(200)["paths"]
    assert f"apis/{types.API_VERSION}" in index
    document = api.get(f"/openapi/v3/apis/{types.API_VERSION}").expect(200)
    kinds = [
        schema
        for schema in document["components"]["schemas"].values()
        if any(entry["kind"] == "Widget" for entry in schema.get("x-kubernetes-group-version-kind") or ())
    ]
    assert kinds[0]["properties"]["spec"]["properties"]["size"]["description"] == "How large it is."


@pytest.mark.parametrize("path", ["/version", "/api", "/apis", "/api/v1", "/apis/apps/v1", "/healthz", "/readyz"])
def test_server_speaks_of_itself(api: RawApi, path: str) -> None:
    assert api.get(path).code == 200


def test_version_in_which_objects_may_be_kept_cannot_be_dropped(api: RawApi) -> None:
    definition = types.definition_of("Relic", "relics", {"type": "object"})
    path, name = types.CRDS, definition["metadata"]["name"]
    newer = definition["spec"]["versions"][0]
    definition["spec"]["versions"] = [{**newer, "name": "v1beta1"}]
    api.post(path, definition).expect(201)
    eventually(
        lambda: api.get(f"{path}/{name}").body["status"].get("storedVersions"), lambda found: found == ["v1beta1"]
    )
    refused = api.patch(f"{path}/{name}", {"spec": {"versions": [newer]}})
    assert (refused.code, refused.reason, refused.causes) == (
        422,
        "Invalid",
        {"status.storedVersions[0]": "FieldValueInvalid"},
    )
    assert "v1beta1 was previously a storage version, and must remain in spec.versions" in refused.body["message"]
    both = [newer, {**newer, "name": "v1beta1", "storage": False}]
    api.patch(f"{path}/{name}", {"spec": {"versions": both}}).expect(200)
    api.delete(f"{path}/{name}").expect(200)
    eventually(lambda: api.get(f"{path}/{name}").code, lambda code: code == 404)
    definition["spec"]["versions"] = [newer]
    again = api.post(path, definition).expect(201)
    eventually(lambda: api.get(f"{path}/{name}").body["status"].get("storedVersions"), lambda found: found == ["v1"])
    assert again["metadata"]["name"] == name
    api.delete(f"{path}/{name}").expect(200)
