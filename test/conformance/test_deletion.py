"""Deletion: finalizers, preconditions, propagation, grace, collections, namespaces."""

from __future__ import annotations

from typing import Any

import pytest

from test.conformance.widgets import config_map, config_maps, widget, widgets
from test.support.raw_api import RawApi, eventually

FINALIZER = "example.com/hold"


@pytest.fixture
def held(api: RawApi, namespace: str) -> str:
    """The path of a Widget with a finalizer."""
    body = widget()
    body["metadata"]["finalizers"] = [FINALIZER]
    api.post(widgets(namespace), body).expect(201)
    return f"{widgets(namespace)}/w"


def test_object_without_finalizers_goes_at_once(api: RawApi, namespace: str) -> None:
    made = api.post(config_maps(namespace), config_map()).expect(201)
    gone = api.delete(f"{config_maps(namespace)}/c").expect(200)
    assert (gone["kind"], gone["status"], gone["details"]["uid"]) == ("Status", "Success", made["metadata"]["uid"])
    assert api.get(f"{config_maps(namespace)}/c").code == 404
    assert api.delete(f"{config_maps(namespace)}/c").code == 404


def test_finalizer_holds_a_deleted_object(api: RawApi, held: str) -> None:
    marked = api.delete(held).expect(200)
    assert marked["metadata"]["deletionTimestamp"]
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 0
    assert marked["metadata"]["generation"] == 2
    assert api.get(held).expect(200)["metadata"]["deletionTimestamp"]


def test_last_finalizer_lets_go(api: RawApi, held: str) -> None:
    api.delete(held).expect(200)
    api.patch(held, {"metadata": {"finalizers": None}}).expect(200)
    assert api.get(held).code == 404


def test_second_delete_changes_nothing(api: RawApi, held: str) -> None:
    first = api.delete(held).expect(200)["metadata"]
    second = api.delete(held).expect(200)["metadata"]
    assert second["resourceVersion"] == first["resourceVersion"]


def test_no_finalizer_can_be_added_to_a_deleted_object(api: RawApi, held: str) -> None:
    api.delete(held).expect(200)
    refused = api.patch(held, {"metadata": {"finalizers": [FINALIZER, "example.com/late"]}})
    assert (refused.code, refused.causes) == (422, {"metadata.finalizers": "FieldValueForbidden"})


def test_deletion_mark_cannot_be_taken_back(api: RawApi, held: str) -> None:
    mark = api.delete(held).expect(200)["metadata"]["deletionTimestamp"]
    after = api.patch(held, {"metadata": {"deletionTimestamp": None, "labels": {"a": "b"}}}).expect(200)
    assert after["metadata"]["deletionTimestamp"] == mark


def test_status_can_be_written_while_deleting(api: RawApi, held: str) -> None:
    api.delete(held).expect(200)
    assert api.patch(f"{held}/status", {"status": {"phase": "Going"}}).expect(200)["status"] == {"phase": "Going"}


def test_name_is_taken_until_the_object_is_gone(api: RawApi, namespace: str, held: str) -> None:
    api.delete(held).expect(200)
    assert api.post(widgets(namespace), widget()).code == 409


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_delete_with_a_wrong_precondition_is_a_conflict(api: RawApi, namespace: str, field: str) -> None:
    made = api.post(config_maps(namespace), config_map()).expect(201)
    wrong = {"uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": "1"}[field]
    refused = api.delete(f"{config_maps(namespace)}/c", {"preconditions": {field: wrong}})
    assert (refused.code, refused.reason) == (409, "Conflict")
    api.delete(f"{config_maps(namespace)}/c", {"preconditions": {field: made["metadata"][field]}}).expect(200)


@pytest.mark.parametrize(("policy", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_propagation_leaves_a_mark_for_the_garbage_collector(
    api: RawApi, held: str, policy: str, finalizer: str
) -> None:
    marked = api.delete(held, {"propagationPolicy": policy}).expect(200)
    assert set(marked["metadata"]["finalizers"]) == {FINALIZER, finalizer}
    api.patch(held, {"metadata": {"finalizers": None}}).expect(200)


def test_collection_is_deleted_by_selector(api: RawApi, namespace: str) -> None:
    for name, color in (("a", "red"), ("b", "red"), ("c", "blue")):
        api.post(config_maps(namespace), config_map(name, {"color": color})).expect(201)
    api.delete(config_maps(namespace), labelSelector="color=red").expect(200)
    left = api.get(config_maps(namespace), labelSelector="color").expect(200)["items"]
    assert [item["metadata"]["name"] for item in left] == ["c"]


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    """A pod, on a node of its own if told."""
    body = {"containers": [{"name": "c", "image": "i:1"}], "automountServiceAccountToken": False, **spec}
    return {"metadata": {"name": name, "labels": {"app": name}}, "spec": body}


def test_pod_that_never_ran_goes_at_once(api: RawApi, pods: str) -> None:
    api.post(pods, pod()).expect(201)
    api.delete(f"{pods}/p").expect(200)
    assert api.get(f"{pods}/p").code == 404


def test_pod_on_a_node_waits_for_its_kubelet(api: RawApi, namespace: str, pods: str) -> None:
    api.post(pods, bound_pod(namespace)).expect(201)
    marked = api.delete(f"{pods}/p").expect(200)["metadata"]
    assert marked["deletionGracePeriodSeconds"] == 30
    assert api.get(f"{pods}/p").code == 200
    api.delete(f"{pods}/p", {"gracePeriodSeconds": 0}).expect(200)
    assert api.get(f"{pods}/p").code == 404


def bound_pod(namespace: str) -> dict[str, Any]:
    """A pod on a node of its own: pod garbage collection empties nodes that do not exist, but only some time after it first saw them."""
    return pod(nodeName=f"node-of-{namespace}")


def test_eviction_is_refused_while_the_budget_is_spent(api: RawApi, namespace: str, pods: str) -> None:
    budgets = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}}
    api.post(budgets, budget).expect(201)
    api.post(pods, bound_pod(namespace)).expect(201)
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    api.patch(f"{pods}/p/status", {"status": ready}).expect(200)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    refused = api.post(f"{pods}/p/eviction", eviction)
    assert (refused.code, refused.reason) == (429, "TooManyRequests")
    api.patch(f"{budgets}/b", {"spec": {"minAvailable": 0}}).expect(200)
    counts = {
        "disruptionsAllowed": 1,
        "currentHealthy": 1,
        "desiredHealthy": 0,
        "expectedPods": 1,
        "observedGeneration": 2,
    }
    api.patch(f"{budgets}/b/status", {"status": counts}).expect(200)
    eventually(lambda: api.post(f"{pods}/p/eviction", eviction).code, lambda code: code == 201)
    assert api.get(f"{pods}/p").expect(200)["metadata"]["deletionTimestamp"]
    api.delete(f"{pods}/p", {"gracePeriodSeconds": 0}).expect(200)


def test_default_namespace_cannot_be_deleted(api: RawApi) -> None:
    assert api.delete("/api/v1/namespaces/default").code == 403
