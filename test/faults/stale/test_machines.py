"""The provisioner on caches that lag, miss events, hear them twice or go back in time: one pool, no wrong deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from controller_runtime.controller.controller import Request
from controller_runtime.resources import NODES, Resource, name_of, uid_of
from gpu_provisioner.api.labels import MACHINES
from test.faults.gpu_provisioner.oracles import check, final_state
from test.faults.gpu_provisioner.world import World
from test.faults.stale.caches import DROP, DUPLICATE, EventFault, FaultyCache, every_event

pytestmark = pytest.mark.faults

NAME = "ws012345678"
STEP_S = 5.0


class StaleWorld(World):
    """The provisioner's world on caches that can be spoiled."""

    informers: dict[Resource, Any]

    def __init__(self, spoiled: EventFault | None = None) -> None:
        self.spoiled = spoiled
        super().__init__()

    def informer(self, resource: Resource, *, indexers: Mapping[str, Any] | None = None) -> Any:
        cache = self.informers.setdefault(resource, FaultyCache(self.server, resource))
        cache.fault = self.spoiled
        cache.add_indexers(indexers)
        return cache

    def relist(self) -> None:
        """Every cache starts again from a list."""
        for cache in self.informers.values():
            cache.held = False
            cache.relist()
        self.settle()

    def look_again(self) -> None:
        self.provisioner.machines.enqueue(Request("", NAME))
        self.settle()


@pytest.fixture
def ready_world() -> StaleWorld:
    world = StaleWorld()
    world.create_machine()
    assert world.run(900, world.is_ready, step_s=STEP_S)
    return world


def deletes(world: World) -> list[str]:
    return [write for write in world.writes if "delete" in write]


def test_nothing_is_repeated_while_the_cache_of_machines_stands_still() -> None:
    world = StaleWorld()
    world.create_machine()
    world.deliver()
    world.informers[MACHINES].held = True
    for _ in range(5):
        world.look_again()
    world.run(8)
    assert world.writes == [f"patch machines {NAME}"]

    world.run(300, step_s=STEP_S)
    assert world.orders == []
    world.informers[MACHINES].held = False
    assert world.run(900, world.is_ready, step_s=STEP_S)
    assert len(world.orders) == 1
    assert check(world) == []


def test_a_cache_of_machines_that_stops_after_the_order_does_not_order_again() -> None:
    world = StaleWorld()
    world.create_machine()
    assert world.run(60, lambda: bool(world.orders))
    world.informers[MACHINES].held = True
    world.run(600, step_s=STEP_S)
    assert len(world.orders) == 1
    assert deletes(world) == []

    world.informers[MACHINES].held = False
    assert world.run(900, world.is_ready, step_s=STEP_S)
    assert check(world) == []


def test_a_machine_made_again_under_its_name_unseen_keeps_its_own_pool(ready_world: StaleWorld) -> None:
    world = ready_world
    former = uid_of(world.machine() or {})
    world.informers[MACHINES].held = True
    world.take_by_force()
    current = uid_of(world.create_machine())
    world.run(40, step_s=STEP_S)
    assert uid_of(world.machine() or {}) == current

    world.informers[MACHINES].held = False
    assert world.run(1800, world.is_ready, step_s=STEP_S), world.machine()
    assert [uid for _, uid, _ in world.orders] == [former, current]
    assert uid_of(world.machine() or {}) == current


def test_a_node_that_joined_again_under_its_old_name_is_not_deleted_for_its_predecessor(
    ready_world: StaleWorld,
) -> None:
    world = ready_world
    node = name_of(world.nodes()[0])
    world.informers[NODES].held = True
    world.admin.delete(NODES, node)
    world.admin.patch(NODES, node, {"metadata": {"finalizers": None}})
    stranger = uid_of(world.admin.create(NODES, {"metadata": {"name": node}}))
    world.host.shut_down = lambda vm: None  # type: ignore[method-assign]
    world.delete_machine()
    world.run(900, step_s=STEP_S)
    assert uid_of(world.admin.get(NODES, node)) == stranger

    world.informers[NODES].held = False
    assert world.run(900, world.is_gone, step_s=STEP_S)
    assert uid_of(world.admin.get(NODES, node)) == stranger


def test_a_node_that_was_not_ready_for_a_moment_unseen_leaves_no_trace(ready_world: StaleWorld) -> None:
    world = ready_world
    world.run(60, step_s=STEP_S)
    before, writes = final_state(world), list(world.writes)
    world.informers[NODES].held = True
    world.set_node_ready(False)
    world.run(30, step_s=STEP_S)
    world.set_node_ready(True)
    world.informers[NODES].held = False
    world.run(60, step_s=STEP_S)

    assert final_state(world) == before
    assert world.writes == writes


def test_a_restored_older_state_leads_to_the_same_end_without_a_second_order() -> None:
    world = StaleWorld()
    world.create_machine()
    assert world.run(60, lambda: bool(world.orders))
    ordered = world.server.store.dump()
    assert world.run(900, world.is_ready, step_s=STEP_S)
    nodes = world.server.objects(NODES)

    world.server.store.load(ordered)
    for node in nodes:  # kubelets that find their Node missing register again
        world.admin.create(NODES, {"metadata": {"name": name_of(node), "labels": node["metadata"]["labels"]}})
        world.admin.patch(NODES, name_of(node), {"spec": {"providerID": node["spec"]["providerID"]}})
        world.admin.patch(NODES, name_of(node), {"status": node["status"]}, subresource="status")
    world.relist()

    assert world.run(1200, world.is_ready, step_s=STEP_S), world.machine()
    assert len(world.orders) == 1
    assert deletes(world) == []


def test_a_server_that_is_empty_for_half_a_minute_costs_no_pool(ready_world: StaleWorld) -> None:
    world = ready_world
    full = world.server.store.dump()
    world.server.store.load(StaleWorld().server.store.dump())
    world.relist()
    world.run(30, step_s=STEP_S)
    world.server.store.load(full)
    world.relist()
    world.run(600, step_s=STEP_S)

    assert world.is_ready()
    assert deletes(world) == []
    assert len(world.orders) == 1


def live_and_die(spoiled: EventFault | None = None) -> tuple[str, StaleWorld]:
    """(the state while Ready, the world after the deletion); caches start anew after each half."""
    world = StaleWorld(spoiled)
    world.create_machine()
    world.run(300, step_s=STEP_S)
    world.relist()
    assert world.run(900, world.is_ready, step_s=STEP_S), world.machine()
    world.run(60, step_s=STEP_S)
    held = final_state(world)
    world.delete_machine()
    world.run(300, step_s=STEP_S)
    world.relist()
    assert world.run(900, world.is_gone, step_s=STEP_S), world.machine()
    return held, world


@pytest.mark.parametrize("kind", [DROP, DUPLICATE])
def test_each_event_may_be_missed_or_told_twice_and_the_end_is_the_same(kind: str) -> None:
    golden, undisturbed = live_and_die()
    assert check(undisturbed) == []
    failures = []
    for fault in every_event(undisturbed.informers):
        if fault.kind != kind:
            continue
        try:
            held, world = live_and_die(fault)
        except AssertionError as error:
            failures.append(f"{fault}: {error}")
            continue
        failures += [f"{fault}: {problem}" for problem in check(world, undisturbed)]
        if held != golden:
            failures.append(f"{fault}: {held}\ninstead of\n{golden}")
    assert failures == []
