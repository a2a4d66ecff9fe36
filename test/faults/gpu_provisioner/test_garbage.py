"""What is left over is found and removed; what belongs to others is not."""

from __future__ import annotations

import pytest

from controller_runtime.resources import NODES
from gpu_provisioner.api import reasons
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.cloud.azure.errors import classify
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults


@pytest.fixture
def ready_world() -> World:
    world = World()
    world.create_machine()
    assert world.run(600, world.is_ready)
    return world


def test_a_pool_whose_machine_was_forced_away_is_removed_with_its_node(ready_world: World) -> None:
    ready_world.take_by_force()
    assert ready_world.run(900, lambda: not ready_world.pools() and not ready_world.nodes(), step_s=5)
    assert ready_world.canary_state() == ready_world.canaries


def test_a_leftover_is_not_removed_before_the_safe_age(ready_world: World) -> None:
    ready_world.take_by_force()
    started = ready_world.clock.monotonic()
    ready_world.run(600, lambda: any(w.startswith("arm delete") for w in ready_world.writes))
    assert ready_world.clock.monotonic() - started >= 60


def test_a_recreated_machine_waits_until_the_pool_of_its_predecessor_is_gone(ready_world: World) -> None:
    ready_world.take_by_force()
    ready_world.create_machine()
    assert ready_world.run(60, lambda: ready_world.condition("MachineLaunched").get("reason") == reasons.POOL_CONFLICT)
    assert ready_world.run(1200, ready_world.is_ready, step_s=5), ready_world.machine()
    assert len(ready_world.orders) == 2
    assert check(ready_world) == []


def test_pools_without_our_mark_are_never_removed() -> None:
    world = World()
    world.cloud.add_canary("ws000000009", vm_size="Standard_NC12s_v3")
    world.run(1200, step_s=10)
    assert "ws000000009" in world.pools()
    assert world.writes == []


def test_a_label_that_a_tenant_wrote_makes_no_pool_garbage() -> None:
    """Another provisioner copies the labels of its Machine, and with them whatever the tenant wrote, onto the pool."""
    world = World()
    written = {"kaito.sh/workspace": "w", "kaito.sh/machine-uid": "00000000-0000-0000-0000-000000000000"}
    world.cloud.put("ws000000009", {"vmSize": "Standard_NC12s_v3", "count": 1, "mode": "User", "nodeLabels": written})
    world.run(1200, step_s=10)
    assert "ws000000009" in world.pools()
    assert world.writes == []


def test_nodes_of_another_karpenter_are_never_touched() -> None:
    world = World()
    owner = {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "n", "uid": "1"}
    foreign = {
        "metadata": {
            "name": "foreign",
            "labels": {"karpenter.sh/provisioner-name": "default", "kubernetes.azure.com/agentpool": "gone"},
            "finalizers": ["karpenter.sh/termination"],
            "ownerReferences": [owner],
        }
    }
    world.admin.create(NODES, foreign)
    world.admin.delete(NODES, "foreign")
    world.run(1200, step_s=10)
    assert world.admin.get(NODES, "foreign")["metadata"]["finalizers"] == ["karpenter.sh/termination"]
    assert world.writes == []


def test_nothing_is_removed_while_pools_cannot_be_listed(ready_world: World) -> None:
    ready_world.azure_down = classify(500, "InternalServerError", "page 2 failed")
    ready_world.take_by_force()
    ready_world.run(900, step_s=10)
    assert len(ready_world.pools()) == 1
    ready_world.azure_down = None
    assert ready_world.run(900, lambda: not ready_world.pools(), step_s=5)


def test_a_cache_that_lags_does_not_cost_a_young_machine_its_pool() -> None:
    world = World()
    world.informers[MACHINES].held = False
    world.create_machine()
    world.run(5)
    uid = world.machine()["metadata"]["uid"]
    # A new process whose Machine cache is stuck before the Machine: only the live read can save the pool.
    world.start()
    world.informers[MACHINES]._objects.clear()
    world.informers[MACHINES].held = True
    world.run(600, step_s=5)
    assert world.machine()["metadata"]["uid"] == uid
    assert len(world.pools()) == 1
    world.informers[MACHINES].held = False
    world.start()
    assert world.run(600, world.is_ready)
