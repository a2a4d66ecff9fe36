"""Patches of each format, the wall between spec and status, and when the generation moves."""

from __future__ import annotations

from typing import Any

import pytest

from test.conformance.widgets import ALL_PLAINS, config_map, config_maps, plain, widget, widgets
from test.support.raw_api import JSON_PATCH, STRATEGIC, RawApi


@pytest.fixture
def one(api: RawApi, namespace: str) -> str:
    """The path of a Widget."""
    api.post(widgets(namespace), widget(parts=[{"name": "a", "value": "1"}], words=["x"])).expect(201)
    return f"{widgets(namespace)}/w"


def test_merge_patch_merges_maps_replaces_lists_and_removes_nulls(api: RawApi, one: str) -> None:
    patch = {"spec": {"mode": "slow", "parts": [{"name": "b"}], "words": None}, "metadata": {"labels": {"l": "1"}}}
    after = api.patch(one, patch).expect(200)
    assert after["spec"] == {"size": 5, "mode": "slow", "parts": [{"name": "b"}]}
    assert after["metadata"]["labels"] == {"l": "1"}


def test_json_patch_applies_its_operations(api: RawApi, one: str) -> None:
    patch = [
        {"op": "test", "path": "/spec/size", "value": 5},
        {"op": "replace", "path": "/spec/size", "value": 8},
        {"op": "add", "path": "/spec/words/-", "value": "y"},
        {"op": "remove", "path": "/spec/parts"},
    ]
    after = api.patch(one, patch, JSON_PATCH).expect(200)
    assert (after["spec"]["size"], after["spec"]["words"], "parts" in after["spec"]) == (8, ["x", "y"], False)


def test_json_patch_whose_test_fails_changes_nothing(api: RawApi, one: str) -> None:
    patch = [{"op": "replace", "path": "/spec/size", "value": 8}, {"op": "test", "path": "/spec/size", "value": 1}]
    refused = api.patch(one, patch, JSON_PATCH)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert api.get(one).expect(200)["spec"]["size"] == 5


def test_patch_with_an_old_version_is_a_conflict(api: RawApi, one: str) -> None:
    old = api.get(one).expect(200)["metadata"]["resourceVersion"]
    api.patch(one, {"spec": {"size": 6}}).expect(200)
    refused = api.patch(one, {"metadata": {"resourceVersion": old}, "spec": {"size": 7}})
    assert (refused.code, refused.reason) == (409, "Conflict")


def test_custom_objects_take_no_strategic_patch(api: RawApi, one: str) -> None:
    refused = api.patch(one, {"spec": {"size": 6}}, STRATEGIC)
    assert (refused.code, refused.reason) == (415, "UnsupportedMediaType")


def test_patch_of_a_missing_object_is_not_found(api: RawApi, namespace: str) -> None:
    assert api.patch(f"{widgets(namespace)}/none", {"spec": {"size": 6}}).code == 404


def deployment(**spec: Any) -> dict[str, Any]:
    """A Deployment with two containers."""
    containers = [{"name": "a", "image": "a:1", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "b:1"}]
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": containers}}
    return {
        "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"app": "d"}}, "template": template, **spec},
    }


def test_strategic_patch_merges_lists_by_key(api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment()).expect(201)
    containers = [{"name": "a", "image": "a:2"}, {"$patch": "delete", "name": "b"}]
    after = api.patch(f"{path}/d", {"spec": {"template": {"spec": {"containers": containers}}}}, STRATEGIC).expect(200)
    (container,) = after["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("a:2", [{"name": "K", "value": "1"}])


def test_strategic_patch_can_replace_a_list_and_keep_an_order(api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment()).expect(201)
    containers = [{"$patch": "replace"}, {"name": "c", "image": "c:1"}]
    after = api.patch(f"{path}/d", {"spec": {"template": {"spec": {"containers": containers}}}}, STRATEGIC).expect(200)
    assert [entry["name"] for entry in after["spec"]["template"]["spec"]["containers"]] == ["c"]
    ordered = {
        "$setElementOrder/containers": [{"name": "z"}, {"name": "c"}],
        "containers": [{"name": "z", "image": "z:1"}],
    }
    after = api.patch(f"{path}/d", {"spec": {"template": {"spec": ordered}}}, STRATEGIC).expect(200)
    assert [entry["name"] for entry in after["spec"]["template"]["spec"]["containers"]] == ["z", "c"]


def test_built_in_defaults_are_filled_in(api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    spec = api.post(path, deployment()).expect(201)["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["dnsPolicy"], pod["schedulerName"]) == (
        "Always",
        "ClusterFirst",
        "default-scheduler",
    )
    assert pod["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_deployment_whose_selector_misses_its_pods_is_invalid(api: RawApi, namespace: str) -> None:
    body = deployment(selector={"matchLabels": {"app": "other"}})
    refused = api.post(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)
    assert (refused.code, refused.causes) == (422, {"spec.template.metadata.labels": "FieldValueInvalid"})


def test_selector_of_a_deployment_is_immutable(api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment()).expect(201)
    labels = {"app": "e"}
    refused = api.patch(
        f"{path}/d", {"spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}}}
    )
    assert (refused.code, "spec.selector" in refused.causes) == (422, True)


def test_status_is_not_written_through_the_object(api: RawApi, namespace: str) -> None:
    made = api.post(widgets(namespace), widget() | {"status": {"phase": "Done"}}).expect(201)
    assert "status" not in made
    after = api.patch(f"{widgets(namespace)}/w", {"status": {"phase": "Done"}, "spec": {"size": 6}}).expect(200)
    assert ("status" in after, after["spec"]["size"]) == (False, 6)


def test_only_status_is_written_through_the_status(api: RawApi, one: str) -> None:
    patch = {"status": {"phase": "Done"}, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}}
    after = api.patch(f"{one}/status", patch).expect(200)
    assert after["status"] == {"phase": "Done"}
    assert after["spec"]["size"] == 5
    assert api.get(f"{one}/status").expect(200)["status"] == {"phase": "Done"}


def test_status_put_with_an_old_version_is_a_conflict(api: RawApi, one: str) -> None:
    old = api.get(one).expect(200)
    api.patch(f"{one}/status", {"status": {"phase": "A"}}).expect(200)
    assert api.put(f"{one}/status", old | {"status": {"phase": "B"}}).code == 409


def test_generation_counts_changes_of_the_spec_only(api: RawApi, one: str) -> None:
    def generation(reply: Any) -> int:
        return int(reply["metadata"]["generation"])

    assert generation(api.patch(one, {"metadata": {"labels": {"a": "b"}}}).expect(200)) == 1
    assert generation(api.patch(f"{one}/status", {"status": {"phase": "A"}}).expect(200)) == 1
    assert generation(api.patch(one, {"spec": {"size": 6}}).expect(200)) == 2
    assert generation(api.patch(one, {"spec": {"size": 6}}).expect(200)) == 2


def test_without_a_status_subresource_status_is_an_ordinary_field(api: RawApi, namespace: str) -> None:
    path = ALL_PLAINS.replace("/plains", f"/namespaces/{namespace}/plains")
    made = api.post(path, plain(status={"a": 1})).expect(201)
    assert made["status"] == {"a": 1}
    after = api.patch(f"{path}/p", {"status": {"a": 2}}).expect(200)
    assert (after["status"], after["metadata"]["generation"]) == ({"a": 2}, 2)
    assert api.patch(f"{path}/p/status", {"status": {"a": 3}}).code == 404


def test_immutable_config_map_keeps_its_data(api: RawApi, namespace: str) -> None:
    api.post(config_maps(namespace), config_map(a="1") | {"immutable": True}).expect(201)
    assert api.patch(f"{config_maps(namespace)}/c", {"data": {"a": "2"}}).code == 422


def test_scale_reads_and_writes_replicas(api: RawApi, namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    api.post(path, deployment(replicas=2)).expect(201)
    scale = api.get(f"{path}/d/scale").expect(200)
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 2}, "app=d")
    api.patch(f"{path}/d/scale", {"spec": {"replicas": 4}}).expect(200)
    assert api.get(f"{path}/d").expect(200)["spec"]["replicas"] == 4


def test_job_keeps_its_pods_and_their_selector_for_life(api: RawApi, namespace: str) -> None:
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i:1"}]}}
    wanted = {"metadata": {"name": "j"}, "spec": {"template": template}}
    made = api.post(jobs, wanted).expect(201)
    assert "batch.kubernetes.io/controller-uid" in made["spec"]["selector"]["matchLabels"]

    refused = api.put(f"{jobs}/j", wanted)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert {"spec.selector", "spec.template"} <= set(refused.causes)
    marked = api.patch(f"{jobs}/j", {"metadata": {"labels": {"mine": "yes"}}}).expect(200)
    assert marked["spec"]["selector"] == made["spec"]["selector"]
