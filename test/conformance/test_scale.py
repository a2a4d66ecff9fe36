"""The scale subresource: of built-in types and of custom ones, whose definitions say where the numbers are."""

from __future__ import annotations

from typing import Any

import pytest

from test.conformance.test_updates import deployment
from test.conformance.widgets import CRDS, SCALE, definition_of, widget, widgets
from test.support.raw_api import JSON_PATCH, MERGE, RawApi


def test_custom_object_is_scaled_where_its_definition_says(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.post(widgets(namespace), widget(nested={"level": 2})).expect(201)
    api.patch(f"{path}/status", {"status": {"size": 7, "selector": "app=w"}}, MERGE).expect(200)

    scale = api.get(f"{path}/scale").expect(200)
    assert (scale["kind"], scale["apiVersion"], scale["metadata"]["name"]) == ("Scale", "autoscaling/v1", "w")
    assert scale["spec"] == {"replicas": 2}
    assert scale["status"] == {"replicas": 7, "selector": "app=w"}

    assert api.patch(f"{path}/scale", {"spec": {"replicas": 5}}, MERGE).expect(200)["spec"] == {"replicas": 5}
    scale["metadata"].pop("resourceVersion")
    assert api.put(f"{path}/scale", {**scale, "spec": {"replicas": 6}}).expect(200)["spec"] == {"replicas": 6}
    after = api.get(path).expect(200)
    assert after["spec"]["nested"] == {"level": 6}
    assert after["status"] == {"size": 7, "selector": "app=w"}


def test_scale_of_an_object_that_has_no_number_cannot_be_read_and_can_be_set(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.post(widgets(namespace), widget()).expect(201)

    refused = api.get(f"{path}/scale")
    assert (refused.code, refused.reason) == (500, "InternalError")
    assert '"the spec replicas field' not in refused.body["message"]
    assert '.spec.nested.level" does not exist' in refused.body["message"]

    assert api.patch(f"{path}/scale", {"spec": {"replicas": 2}}, MERGE).expect(200)["spec"] == {"replicas": 2}


@pytest.mark.parametrize("replicas", [-1, "two"])
def test_number_that_is_none_is_refused(api: RawApi, namespace: str, replicas: object) -> None:
    path = f"{widgets(namespace)}/w"
    api.post(widgets(namespace), widget(nested={"level": 2})).expect(201)

    refused = api.patch(f"{path}/scale", {"spec": {"replicas": replicas}}, MERGE)

    assert refused.code in (400, 422)
    assert api.get(path).expect(200)["spec"]["nested"] == {"level": 2}


def test_writing_an_old_scale_is_a_conflict(api: RawApi, namespace: str) -> None:
    path = f"{widgets(namespace)}/w"
    api.post(widgets(namespace), widget(nested={"level": 2})).expect(201)
    old = api.get(f"{path}/scale").expect(200)
    api.patch(path, {"spec": {"size": 9}}, MERGE).expect(200)

    refused = api.put(f"{path}/scale", {**old, "spec": {"replicas": 3}})

    assert (refused.code, refused.reason) == (409, "Conflict")


def test_scaling_is_on_record_under_its_manager(api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment()).expect(201)

    api.patch(
        f"{path}/d/scale?fieldManager=scaler", [{"op": "replace", "path": "/spec/replicas", "value": 3}], JSON_PATCH
    )

    entries = api.get(f"{path}/d").expect(200)["metadata"]["managedFields"]
    (entry,) = (entry for entry in entries if entry["manager"] == "scaler")
    assert (entry["operation"], entry["subresource"]) == ("Update", "scale")
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}


@pytest.mark.parametrize(
    ("field", "path", "told"),
    [
        ("specReplicasPath", ".resource.count", "should be a json path under .spec"),
        ("statusReplicasPath", ".spec.replicas", "should be a json path under .status"),
        ("labelSelectorPath", ".selector", "should be a json path under either .spec or .status"),
    ],
)
def test_definition_with_a_scale_outside_of_spec_and_status_is_refused(
    api: RawApi, field: str, path: str, told: str
) -> None:
    schema: dict[str, Any] = {"type": "object"}
    definition = definition_of("Gadget", "gadgets", schema, subresources={"scale": {**SCALE, field: path}})

    refused = api.post(CRDS, definition)

    assert refused.code == 422
    assert refused.causes[f"spec.subresources.scale.{field}"] == "FieldValueInvalid"
    assert told in refused.body["message"]
