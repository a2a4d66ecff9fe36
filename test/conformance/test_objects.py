"""Creating, reading and replacing objects: identity, versions, optimistic locking, and how refusals look."""

from __future__ import annotations

import re

import pytest

from test.conformance.widgets import config_map, config_maps, widget, widgets
from test.support.raw_api import RawApi


def test_created_object_gets_an_identity(api: RawApi, namespace: str) -> None:
    metadata = api.post(widgets(namespace), widget()).expect(201)["metadata"]
    assert re.fullmatch(r"[0-9a-f-]{36}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert metadata["generation"] == 1
    assert metadata["resourceVersion"].isdigit()
    assert metadata["namespace"] == namespace


def test_system_fields_of_a_create_are_ignored(api: RawApi, namespace: str) -> None:
    body = config_map()
    body["metadata"] |= {"uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7}
    metadata = api.post(config_maps(namespace), body).expect(201)["metadata"]
    assert metadata["uid"] != "mine"
    assert not metadata["creationTimestamp"].startswith("2001")


def test_second_create_of_a_name_is_refused(api: RawApi, namespace: str) -> None:
    api.post(config_maps(namespace), config_map()).expect(201)
    refused = api.post(config_maps(namespace), config_map())
    assert (refused.code, refused.reason) == (409, "AlreadyExists")
    assert refused.body["message"] == 'configmaps "c" already exists'
    assert refused.body["details"] == {"name": "c", "kind": "configmaps"}


def test_missing_object_is_not_found_with_details(api: RawApi, namespace: str) -> None:
    missing = api.get(f"{widgets(namespace)}/nobody")
    assert (missing.code, missing.reason) == (404, "NotFound")
    assert missing.body["message"].endswith('"nobody" not found')
    assert missing.body["details"]["name"] == "nobody"


def test_unknown_resource_type_is_not_found(api: RawApi, namespace: str) -> None:
    assert api.get(f"/apis/example.invalid/v1/namespaces/{namespace}/things").code == 404


def test_object_in_a_missing_namespace_is_refused(api: RawApi) -> None:
    refused = api.post(config_maps("no-such-namespace"), config_map())
    assert (refused.code, refused.body["message"]) == (404, 'namespaces "no-such-namespace" not found')


def test_namespace_of_body_and_path_must_agree(api: RawApi, namespace: str) -> None:
    body = config_map()
    body["metadata"]["namespace"] = "default"
    assert api.post(config_maps(namespace), body).code == 400


def test_generated_names_keep_their_prefix_and_differ(api: RawApi, namespace: str) -> None:
    body = {"metadata": {"generateName": "part-"}}
    names = {api.post(config_maps(namespace), body).expect(201)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"part-[a-z0-9]{5}", name) for name in names)


def test_bad_name_is_invalid(api: RawApi, namespace: str) -> None:
    refused = api.post(config_maps(namespace), config_map("Not_A_Name"))
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert refused.causes == {"metadata.name": "FieldValueInvalid"}


def test_nameless_object_is_invalid(api: RawApi, namespace: str) -> None:
    refused = api.post(config_maps(namespace), {"metadata": {}})
    assert refused.code == 422
    assert refused.causes == {"metadata.name": "FieldValueRequired"}


def test_bad_label_value_is_invalid(api: RawApi, namespace: str) -> None:
    refused = api.post(config_maps(namespace), config_map(labels={"a": "not a value"}))
    assert (refused.code, list(refused.causes)) == (422, ["metadata.labels"])


def test_body_of_another_kind_is_refused(api: RawApi, namespace: str) -> None:
    refused = api.post(widgets(namespace), widget() | {"kind": "Gadget"})
    assert (refused.code, refused.causes) == (422, {"kind": "FieldValueInvalid"})
    assert api.post(config_maps(namespace), config_map() | {"kind": "Secret"}).code == 400


def test_body_that_is_no_json_is_a_bad_request(api: RawApi, namespace: str) -> None:
    refused = api.post(config_maps(namespace), b"{not json")
    assert (refused.code, refused.reason) == (400, "BadRequest")


def test_put_with_the_read_version_is_taken(api: RawApi, namespace: str) -> None:
    made = api.post(widgets(namespace), widget()).expect(201)
    made["spec"]["size"] = 6
    after = api.put(f"{widgets(namespace)}/w", made).expect(200)
    assert after["spec"]["size"] == 6
    assert int(after["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    assert after["metadata"]["uid"] == made["metadata"]["uid"]


def test_put_with_an_old_version_is_a_conflict(api: RawApi, namespace: str) -> None:
    made = api.post(widgets(namespace), widget()).expect(201)
    api.patch(f"{widgets(namespace)}/w", {"spec": {"size": 7}}).expect(200)
    refused = api.put(f"{widgets(namespace)}/w", made)
    assert (refused.code, refused.reason) == (409, "Conflict")
    assert "the object has been modified" in refused.body["message"]


def test_put_of_a_custom_object_needs_a_version(api: RawApi, namespace: str) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    refused = api.put(f"{widgets(namespace)}/w", widget(size=9))
    assert (refused.code, refused.causes) == (422, {"metadata.resourceVersion": "FieldValueInvalid"})


def test_put_of_a_config_map_works_without_a_version(api: RawApi, namespace: str) -> None:
    api.post(config_maps(namespace), config_map(a="1")).expect(201)
    assert api.put(f"{config_maps(namespace)}/c", config_map(a="2")).expect(200)["data"] == {"a": "2"}


def test_put_with_another_uid_is_a_conflict(api: RawApi, namespace: str) -> None:
    made = api.post(config_maps(namespace), config_map()).expect(201)
    made["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    assert api.put(f"{config_maps(namespace)}/c", made).code == 409


FOREIGN_UID = {"metadata": {"uid": "11111111-2222-3333-4444-555555555555"}}


@pytest.mark.parametrize("part", ["", "/status"])
def test_patch_of_a_built_in_object_with_another_uid_is_invalid(api: RawApi, pods: str, part: str) -> None:
    spec = {"containers": [{"name": "c", "image": "i:1"}], "automountServiceAccountToken": False}
    api.post(pods, {"metadata": {"name": "p"}, "spec": spec}).expect(201)
    refused = api.patch(f"{pods}/p{part}", FOREIGN_UID)
    assert (refused.code, refused.causes) == (422, {"metadata.uid": "FieldValueInvalid"})


def test_patch_of_a_custom_object_with_another_uid_is_invalid_but_not_of_its_status(
    api: RawApi, namespace: str
) -> None:
    api.post(widgets(namespace), widget()).expect(201)
    refused = api.patch(f"{widgets(namespace)}/w", FOREIGN_UID)
    assert (refused.code, refused.causes) == (422, {"metadata.uid": "FieldValueInvalid"})
    api.patch(f"{widgets(namespace)}/w/status", FOREIGN_UID).expect(200)


def test_put_under_another_name_is_a_bad_request(api: RawApi, namespace: str) -> None:
    made = api.post(config_maps(namespace), config_map()).expect(201)
    made["metadata"]["name"] = "other"
    assert api.put(f"{config_maps(namespace)}/c", made).code == 400


def test_write_that_changes_nothing_keeps_the_version(api: RawApi, namespace: str) -> None:
    made = api.post(widgets(namespace), widget()).expect(201)
    same = api.put(f"{widgets(namespace)}/w", made).expect(200)
    patched = api.patch(f"{widgets(namespace)}/w", {"spec": {"size": 5}}).expect(200)
    assert (
        same["metadata"]["resourceVersion"]
        == patched["metadata"]["resourceVersion"]
        == made["metadata"]["resourceVersion"]
    )


def test_dry_run_changes_nothing(api: RawApi, namespace: str) -> None:
    shown = api.post(config_maps(namespace), config_map(), dryRun="All").expect(201)
    assert shown["metadata"]["uid"]
    assert api.get(f"{config_maps(namespace)}/c").code == 404
    api.post(config_maps(namespace), config_map(a="1")).expect(201)
    assert api.patch(f"{config_maps(namespace)}/c", {"data": {"a": "2"}}, dryRun="All").expect(200)["data"] == {
        "a": "2"
    }
    api.delete(f"{config_maps(namespace)}/c", dryRun="All").expect(200)
    assert api.get(f"{config_maps(namespace)}/c").expect(200)["data"] == {"a": "1"}


def test_service_gets_an_address_that_cannot_change(api: RawApi, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    body = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
    spec = api.post(path, body).expect(201)["spec"]
    assert re.fullmatch(r"(\d+\.){3}\d+", spec["clusterIP"])
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert api.patch(f"{path}/s", {"spec": {"clusterIP": "10.96.200.200", "clusterIPs": ["10.96.200.200"]}}).code == 422
    headless = {"metadata": {"name": "h"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    assert api.post(path, headless).expect(201)["spec"]["clusterIP"] == "None"


def test_secret_text_is_stored_encoded(api: RawApi, namespace: str) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"key": "value"}}
    made = api.post(f"/api/v1/namespaces/{namespace}/secrets", body).expect(201)
    assert (made["data"], made["type"], "stringData" in made) == ({"key": "dmFsdWU="}, "Opaque", False)


def test_log_of_a_pod_without_a_node_is_empty_and_of_a_container_that_it_does_not_have_a_400(
    api: RawApi, pods: str
) -> None:
    spec = {"containers": [{"name": name, "image": "i:1"} for name in ("a", "b")], "schedulerName": "nobody"}
    spec["automountServiceAccountToken"] = False
    api.post(pods, {"metadata": {"name": "p"}, "spec": spec}).expect(201)
    assert api.get(f"{pods}/p/log?container=a").code == 204
    unknown = api.get(f"{pods}/p/log?container=c").expect(400)
    assert unknown["message"] == "container c is not valid for pod p"
    unnamed = api.get(f"{pods}/p/log").expect(400)
    assert unnamed["message"] == "a container name must be specified for pod p, choose one of: [a b]"
    assert api.get(f"{pods}/p/log?container=a&follow=true").code == 204


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("tailLines=-1", "tailLines", "Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", "limitBytes", "Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", "sinceSeconds", "Invalid value: 0: must be greater than 0"),
        (
            "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
            "[]",
            "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
    ],
)
def test_wrong_options_of_a_log_are_refused_before_the_pod_is_looked_for(
    api: RawApi, pods: str, query: str, field: str, message: str
) -> None:
    refused = api.get(f"{pods}/none/log?follow=true&{query}").expect(422)
    assert refused["message"] == f'PodLogOptions "none" is invalid: {field}: {message}'
    assert refused["details"]["name"] == "none"
    assert [(cause["field"], cause["message"]) for cause in refused["details"]["causes"]] == [(field, message)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("tailLines=", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("limitBytes=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("sinceTime=noon", 'parsing time "noon" as "2006-01-02T15:04:05Z07:00": cannot parse "noon" as "2006"'),
    ],
)
def test_options_of_a_log_that_cannot_be_read_are_a_400(api: RawApi, pods: str, query: str, message: str) -> None:
    assert api.get(f"{pods}/none/log?{query}").expect(400)["message"] == message


def test_what_is_no_option_of_a_log_is_passed_over(api: RawApi, pods: str) -> None:
    assert api.get(f"{pods}/none/log?follow=maybe&colour=red").code == 404
