"""Ways in which an agent pool could outlive its Machine that no other suite walks; the oracle is the cloud's own list.

The README's table names the test of every such way. At each write, in every suite here, the rules of `oracles` hold: no Machine goes
before its pool, and no pool is ordered without its Machine.
"""

from __future__ import annotations

import pytest

from gpu_provisioner.api.labels import MACHINES
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults
NAME = "ws012345678"
NAMES = [f"ws00000000{number}" for number in range(6)]


@pytest.fixture
def ready_world() -> World:
    world = World()
    world.create_machine()
    assert world.run(600, world.is_ready)
    return world


def ends_with_its_pool(world: World, name: str = NAME) -> bool:
    """Delete the Machine and wait for it: is the cloud's list empty of it?"""
    world.delete_machine(name)
    assert world.run(1800, lambda: world.is_gone(name), step_s=5), world.machine(name)
    world.run(120, step_s=5)
    return name not in world.pools()


def test_a_pool_that_lists_pass_over_is_asked_for_by_name() -> None:
    world = World()
    for name in NAMES:
        world.create_machine(name)
    world.run(60)
    world.missed_by_list = {NAMES[3]}
    for name in NAMES:
        world.delete_machine(name)
    assert world.run(1800, lambda: all(world.is_gone(name) for name in NAMES), step_s=5)
    assert world.pools() == {}


def test_a_pool_that_lists_pass_over_does_not_cost_a_machine_its_life(ready_world: World) -> None:
    ready_world.missed_by_list = {NAME}
    for name in NAMES:
        ready_world.create_machine(name)
    ready_world.set_node_ready(False)
    ready_world.run(300, step_s=5)
    assert not ready_world.machine()["metadata"].get("deletionTimestamp")
    assert NAME in ready_world.pools()


def test_an_order_that_arrives_after_its_machine_was_deleted_holds_the_machine() -> None:
    world = World()
    world.create_machine("ws000000009")
    world.run(120)
    world.order_delay_s = 25.0
    world.create_machine()
    world.run(2)
    world.order_delay_s = 0.0
    assert ends_with_its_pool(world)


def test_an_order_of_a_process_that_died_holds_the_machine() -> None:
    world = World()
    world.create_machine()
    world.order_delay_s = 25.0
    world.run(2)
    world.order_delay_s = 0.0
    world.start()
    assert ends_with_its_pool(world)


def test_a_pool_that_lost_its_marks_holds_the_machine(ready_world: World) -> None:
    ready_world.cloud.put(NAME, {**ready_world.pool_body(NAME), "tags": {}, "nodeLabels": {}})
    ready_world.delete_machine()
    ready_world.run(900, step_s=10)
    assert ready_world.condition("Ready")["reason"] == "PoolNotOwned"
    assert NAME in ready_world.pools()


def test_a_pool_that_only_its_node_points_at_holds_the_machine(ready_world: World) -> None:
    """Robbed of its marks, and the Machine came back from a backup, which keeps no status."""
    ready_world.cloud.put(NAME, {**ready_world.pool_body(NAME), "tags": {}, "nodeLabels": {}})
    forgotten = {"status": {"providerID": None, "nodeName": None}}
    ready_world.admin.patch(MACHINES, NAME, forgotten, subresource="status")
    ready_world.delete_machine()
    ready_world.run(900, step_s=10)
    assert ready_world.condition("Ready")["reason"] == "PoolNotOwned"
    assert NAME in ready_world.pools()


def test_a_pool_that_became_a_system_pool_holds_the_machine(ready_world: World) -> None:
    ready_world.cloud.put(NAME, {**ready_world.pool_body(NAME), "mode": "System"})
    ready_world.delete_machine()
    ready_world.run(900, step_s=10)
    assert ready_world.condition("Ready")["reason"] == "PoolNotOwned"
    ready_world.cloud.put(NAME, {**ready_world.pool_body(NAME), "mode": "User"})
    assert ready_world.run(900, ready_world.is_gone)
    assert ready_world.pools() == {}


def test_a_machine_that_lost_its_owner_label_still_takes_its_pool_along(ready_world: World) -> None:
    ready_world.admin.patch(MACHINES, NAME, {"metadata": {"labels": {"kaito.sh/workspace": None}}})
    ready_world.run(60)
    assert ends_with_its_pool(ready_world)
