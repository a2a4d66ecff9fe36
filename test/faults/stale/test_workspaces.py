"""The Workspace controller on caches that lag, miss events, hear them twice or go back in time: no second Machine, no wrong deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller_runtime.cache.mutation import copy_object
from controller_runtime.resources import DEPLOYMENTS, NODES, SERVICES, Object, finalizers_of, name_of, uid_of
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.state.naming import machine_name
from test.faults.stale.caches import DROP, DUPLICATE, EventFault, every_event
from test.faults.stale.workspace_room import Room, is_ready
from test.support.workspace_world import workspace

pytestmark = pytest.mark.faults

DELETES = "delete "


@pytest.fixture
def ready() -> Room:
    room = Room()
    room.apply(workspace())
    room.until(lambda: is_ready(room), "readiness")
    return room


def orders(room: Room) -> list[str]:
    """Every request for a Machine, refused ones included."""
    return [request for request in room.requests if request.startswith("create machines")]


def force_away(room: Room) -> None:
    """Somebody strips the finalizer: nothing is cleared up."""
    room.patch("phi", {"metadata": {"finalizers": []}})
    room.delete()
    assert room.get() is None


def test_machines_that_the_cache_does_not_show_are_not_ordered_again() -> None:
    room = Room()
    room.caches[MACHINES].held = True
    room.apply(workspace(resource={"count": 2}))
    room.settle()
    for _ in range(5):
        room.look_again()
    assert len(orders(room)) == 2

    room.pass_time(60)
    assert len(room.machines_ever()) == 2

    room.caches[MACHINES].held = False
    room.until(lambda: is_ready(room), "readiness")
    assert len(room.machines_ever()) == 2


def test_a_workspace_stays_until_machines_that_its_cache_does_not_show_are_gone() -> None:
    room = Room()
    room.caches[MACHINES].held = True
    room.apply(workspace())
    room.settle()
    room.delete()
    room.pass_time(30)
    assert room.get() is not None
    assert len(room.all(MACHINES)) == 1

    room.caches[MACHINES].held = False
    room.until(lambda: room.get() is None, "deletion", 600)
    assert room.all(MACHINES) == []


def test_nothing_is_ordered_for_a_workspace_that_is_gone_although_the_cache_shows_it() -> None:
    room = Room()
    room.script.provisioner = False
    room.apply(workspace())
    room.settle()
    room.caches[WORKSPACES].held = True
    force_away(room)
    for machine in room.all(MACHINES):
        room.client.delete(MACHINES, name_of(machine))

    room.pass_time(30)
    assert len(room.machines_ever()) == 1

    room.caches[WORKSPACES].held = False
    room.pass_time(30)
    assert room.all(MACHINES) == []


def test_nothing_is_ordered_for_the_predecessor_of_a_workspace_of_the_same_name() -> None:
    room = Room()
    room.script.provisioner = False
    old = uid_of(room.apply(workspace()))
    room.settle()
    room.caches[WORKSPACES].held = True
    force_away(room)
    for machine in room.all(MACHINES):
        room.client.delete(MACHINES, name_of(machine))
    new = uid_of(room.apply(workspace()))
    room.pass_time(30)
    assert room.machines_ever() == [machine_name(old, 0, 0)]

    room.caches[WORKSPACES].held = False
    room.script.provisioner = True
    room.until(lambda: is_ready(room), "readiness", 15)
    assert room.machines_ever() == [machine_name(old, 0, 0), machine_name(new, 0, 0)]


def test_a_service_that_a_predecessor_leaves_is_waited_for_without_a_minute_lost() -> None:
    room = Room()
    cleanup = {"metadata": {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}}
    room.apply(workspace())
    room.until(lambda: is_ready(room), "readiness")
    room.client.patch(SERVICES, "phi", cleanup, "default")
    force_away(room)
    before = len(room.machines_ever())
    new = uid_of(room.apply(workspace()))
    room.pass_time(40)
    status, reason, message = room.condition("WorkspaceReady")
    assert (status, reason) == ("False", "NameBeingFreed")
    assert "Service phi" in message
    assert len(room.machines_ever()) == before

    room.client.patch(SERVICES, "phi", {"metadata": {"finalizers": []}}, "default")
    room.settle()

    assert room.machines_ever()[before:] == [machine_name(new, 0, 0)]
    room.until(lambda: is_ready(room), "readiness", 10)


def test_machines_of_a_workspace_that_the_cache_does_not_show_yet_are_not_orphans(ready: Room) -> None:
    ready.caches[WORKSPACES].held = True
    ready.caches[WORKSPACES].forget_everything()
    for _ in range(3):
        ready.look_again()
    ready.pass_time(20)

    assert len(ready.all(MACHINES)) == 1
    assert not any(request.startswith(DELETES) for request in ready.requests)


@pytest.mark.parametrize("resource", [SERVICES, DEPLOYMENTS], ids=str)
def test_a_deletion_decided_on_old_news_spares_the_next_object_of_that_name(ready: Room, resource: Any) -> None:
    ready.caches[resource].held = True
    old = ready.find(resource, "phi", "default")
    assert old is not None
    ready.client.delete(resource, "phi", "default")
    stranger = ready.create(resource, without_owner(old))
    ready.delete()
    ready.pass_time(30)
    assert uid_of(ready.find(resource, "phi", "default") or {}) == uid_of(stranger)

    ready.caches[resource].held = False
    ready.until(lambda: ready.get() is None, "deletion", 600)
    assert uid_of(ready.find(resource, "phi", "default") or {}) == uid_of(stranger)


def without_owner(obj: Object) -> Object:
    copied = copy_object(obj)
    meta = copied["metadata"]
    copied["metadata"] = {"name": meta["name"], "namespace": meta["namespace"]}
    copied.pop("status", None)
    for field in ("clusterIP", "clusterIPs"):
        copied["spec"].pop(field, None)
    return copied


def test_a_steady_workspace_is_silent_however_often_it_is_looked_at(ready: Room) -> None:
    ready.pass_time(5)
    before = list(ready.requests)
    for _ in range(5):
        ready.look_again()
    ready.start()
    ready.look_again()

    assert ready.requests == before


def test_no_look_changes_an_object_of_the_cache(ready: Room) -> None:
    """The caches here refuse to be changed, which a reconcile that tries meets as an error."""
    ready.delete()
    ready.until(lambda: ready.get() is None, "deletion")

    assert ready.operator.panics() == 0


def test_a_node_that_was_not_ready_for_a_moment_unseen_leaves_no_trace(ready: Room) -> None:
    node = name_of(ready.all(NODES)[0])
    before, requests = picture(ready), list(ready.requests)
    ready.caches[NODES].held = True
    ready.set_node(node, ready=False, gpus=0)
    ready.pass_time(5)
    ready.set_node(node, ready=True, gpus=1)
    ready.caches[NODES].held = False
    ready.pass_time(10)

    assert picture(ready) == before
    assert [r for r in ready.requests if not r.startswith("patch workspaces/status")] == [
        r for r in requests if not r.startswith("patch workspaces/status")
    ]


def test_a_restored_older_state_leads_to_the_same_end_without_a_deletion() -> None:
    room = Room()
    room.apply(workspace())
    room.settle()
    ordered = room.direct.store.dump()
    room.until(lambda: is_ready(room), "readiness")
    before = picture(room)

    room.direct.store.load(ordered)
    room.relist()
    room.until(lambda: is_ready(room), "readiness after the restore")

    assert picture(room) == before
    assert not any(request.startswith(DELETES) for request in room.requests)


def test_a_server_that_is_empty_for_a_while_costs_nothing() -> None:
    room = Room()
    empty = room.direct.store.dump()
    room.apply(workspace())
    room.until(lambda: is_ready(room), "readiness")
    before, full = picture(room), room.direct.store.dump()

    room.direct.store.load(empty)
    room.relist()
    room.settle()
    room.direct.store.load(full)
    room.relist()
    room.pass_time(10)

    assert picture(room) == before
    assert not any(request.startswith(DELETES) for request in room.requests)


def live_and_die(fault: EventFault | None = None) -> tuple[Mapping[str, Any], Room]:
    """(what the server held when the Workspace was ready, the room after its deletion); caches start anew after each half."""
    room = Room(fault)
    room.apply(workspace())
    room.pass_time(8)
    room.relist()
    room.until(lambda: is_ready(room), "readiness")
    room.pass_time(2)
    held = picture(room)
    room.delete()
    room.pass_time(8)
    room.relist()
    room.until(lambda: room.get() is None, "deletion")
    room.pass_time(2)
    return held, room


@pytest.mark.parametrize("kind", [DROP, DUPLICATE])
def test_each_event_may_be_missed_or_told_twice_and_the_end_is_the_same(kind: str) -> None:
    golden, undisturbed = live_and_die()
    assert undisturbed.all(MACHINES) == []
    failures = []
    for fault in every_event(undisturbed.caches):
        if fault.kind != kind:
            continue
        try:
            held, room = live_and_die(fault)
        except AssertionError as error:
            failures.append(f"{fault}: {error}")
            continue
        if held != golden:
            failures.append(f"{fault}: {held} instead of {golden}")
        if len(room.machines_ever()) != 1 or room.all(MACHINES):
            failures.append(f"{fault}: Machines ever {room.machines_ever()}, left {room.all(MACHINES)}")
    assert failures == []


def picture(room: Room) -> Mapping[str, Any]:
    """What the server holds, without what differs from run to run."""
    found = room.get() or {}
    status = found.get("status") or {}
    return {
        "machines": len(room.all(MACHINES)),
        "nodes": len(room.all(NODES)),
        "services": [name_of(obj) for obj in room.all(SERVICES)],
        "deployments": [obj["spec"]["replicas"] for obj in room.all(DEPLOYMENTS)],
        "conditions": [(c["type"], c["status"], c["reason"]) for c in status.get("conditions") or ()],
        "workers": len(status.get("workerNodes") or ()),
        "finalizers": list(finalizers_of(found)) if found else [],
    }
