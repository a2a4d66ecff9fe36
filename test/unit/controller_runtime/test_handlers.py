import pytest

from controller_runtime.controller.handlers import (
    Change,
    EnqueueingHandler,
    Request,
    for_object,
    for_owner,
    generation_changed,
)
from controller_runtime.queue.workqueue import LOW_PRIORITY


def obj(name="pod", namespace="ns", version="1", **metadata):
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": version} | metadata}


def owned_by(name, *, kind="Workspace", api_version="kaito.sh/v1alpha1", controller=True, **metadata):
    reference = {"apiVersion": api_version, "kind": kind, "name": name, "uid": "u-" + name, "controller": controller}
    return obj(ownerReferences=[reference], **metadata)


@pytest.fixture
def queued():
    return []


def handler(queued, mapper=for_object, predicate=None):
    return EnqueueingHandler(mapper, predicate, lambda request, priority: queued.append((str(request), priority)))


def test_a_request_survives_the_round_trip_through_its_key():
    for request in (Request("ns", "name"), Request("", "name")):
        assert Request.from_key(request.key) == request
    assert Request.for_object({"metadata": {"name": "node"}}) == Request("", "node")


def test_objects_of_the_initial_list_are_queued_with_low_priority_and_later_ones_normally(queued):
    handler(queued).on_add(obj(), is_initial=True)
    handler(queued).on_add(obj(), is_initial=False)

    assert queued == [("ns/pod", LOW_PRIORITY), ("ns/pod", 0)]


def test_a_resync_is_queued_with_low_priority_and_a_real_change_normally(queued):
    handler(queued).on_update(obj(version="1"), obj(version="1"))
    handler(queued).on_update(obj(version="1"), obj(version="2"))

    assert queued == [("ns/pod", LOW_PRIORITY), ("ns/pod", 0)]


def test_a_deletion_is_queued_even_when_it_was_missed_and_made_up_for(queued):
    handler(queued).on_delete(obj(), final_state_unknown=True)

    assert queued == [("ns/pod", 0)]


def test_when_an_owner_reference_moves_both_owners_hear_of_it(queued):
    watch = handler(queued, for_owner("Workspace", "kaito.sh"))

    watch.on_update(owned_by("old", version="1"), owned_by("new", version="2"))

    assert queued == [("ns/new", 0), ("ns/old", 0)]


def test_an_owner_is_found_whatever_its_api_version_but_not_in_another_group():
    mapper = for_owner("Workspace", "kaito.sh")

    assert list(mapper(owned_by("w", api_version="kaito.sh/v2"))) == [Request("ns", "w")]
    assert list(mapper(owned_by("w", api_version="other.io/v1alpha1"))) == []
    assert list(mapper(owned_by("w", kind="RAGEngine"))) == []


def test_an_owner_of_the_core_group_has_no_group():
    assert list(for_owner("Node", "", namespaced=False)(owned_by("n", kind="Node", api_version="v1"))) == [
        Request("", "n")
    ]


def test_a_cluster_scoped_owner_has_no_namespace():
    assert list(for_owner("Workspace", "kaito.sh", namespaced=False)(owned_by("w"))) == [Request("", "w")]


def test_an_owner_that_is_not_the_controller_counts_only_when_asked_for():
    child = owned_by("w", controller=False)

    assert list(for_owner("Workspace", "kaito.sh")(child)) == []
    assert list(for_owner("Workspace", "kaito.sh", controller_only=False)(child)) == [Request("ns", "w")]
    assert list(for_owner("Workspace", "kaito.sh")(obj())) == []


def test_a_map_function_is_asked_about_both_states_and_each_request_is_queued_once(queued):
    def by_label(pod):
        return [Request("ns", pod["metadata"]["labels"]["for"]), Request("ns", "always")]

    handler(queued, by_label).on_update(obj(labels={"for": "a"}), obj(labels={"for": "b"}, version="2"))

    assert sorted(queued) == [("ns/a", 0), ("ns/always", 0), ("ns/b", 0)]


def test_a_predicate_that_says_no_keeps_the_change_from_the_queue(queued):
    handler(queued, predicate=generation_changed).on_update(obj(generation=1), obj(generation=1, version="2"))

    assert queued == []


def test_the_generation_predicate_drops_status_updates_and_passes_spec_changes_and_the_start_of_deletion():
    before = obj(generation=1)

    assert not generation_changed(Change(before, obj(generation=1, version="2") | {"status": {"phase": "x"}}))
    assert generation_changed(Change(before, obj(generation=2)))
    # The API server raises the generation when a graceful deletion begins.
    assert generation_changed(Change(before, obj(generation=2, deletionTimestamp="2026-01-01T00:00:00Z")))
    assert not generation_changed(Change(obj(), obj(version="2"))), "without a generation nothing passes"


def test_creations_and_deletions_pass_the_generation_predicate():
    assert generation_changed(Change(None, obj()))
    assert generation_changed(Change(obj(), None))
