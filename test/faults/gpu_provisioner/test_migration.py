"""Machines and pools that Azure's gpu-provisioner 0.2.x left behind: without our mark, launched and Ready."""

from __future__ import annotations

import pytest

from controller_runtime.resources import NODES, Object
from gpu_provisioner.api.resource import MACHINES
from test.faults.gpu_provisioner.world import World, machine_object

pytestmark = pytest.mark.faults
NAME = "ws012345678"


def inherited(**settings: object) -> World:
    """A world with one Machine as the predecessor wrote it, its unmarked pool, and its Node."""
    world = World(**settings)
    pool_labels = {**machine_object(NAME)["metadata"]["labels"], "kaito.sh/machine-type": "gpu"}
    world.cloud.put(NAME, {"vmSize": "Standard_NC12s_v3", "count": 1, "mode": "User", "nodeLabels": pool_labels})
    world.run(230)
    node = node_of(world)
    body = machine_object(NAME)
    body["metadata"]["finalizers"] = ["karpenter.sh/termination"]
    world.admin.create(MACHINES, body)
    status = {
        "nodeName": node["metadata"]["name"],
        "providerID": node["spec"]["providerID"],
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind in ("MachineInitialized", "MachineLaunched", "MachineRegistered", "Ready")
        ],
    }
    world.admin.patch(MACHINES, NAME, {"status": status}, subresource="status")
    world.run(60)
    return world


def node_of(world: World) -> Object:
    return next(n for n in world.server.objects(NODES) if n["metadata"]["labels"].get("agentpool") == NAME)


@pytest.mark.parametrize("adopt", [True, False])
def test_an_inherited_machine_stays_ready(adopt: bool) -> None:
    world = inherited(adopt_unmarked_pools=adopt)
    world.run(1200, step_s=10)
    assert world.is_ready(NAME)
    assert not world.machine(NAME)["metadata"].get("deletionTimestamp")
    assert world.orders == []


def test_with_the_setting_its_deletion_takes_the_pool_along() -> None:
    world = inherited(adopt_unmarked_pools=True)
    world.delete_machine(NAME)
    assert world.run(900, lambda: world.is_gone(NAME))
    assert world.pools() == {}


def test_without_the_setting_an_unmarked_pool_is_left_alone() -> None:
    world = inherited()
    world.delete_machine(NAME)
    assert world.run(900, lambda: world.is_gone(NAME)), world.machine(NAME)
    assert list(world.pools()) == [NAME]
    assert not any(write.startswith("arm delete") for write in world.writes)
    meta = node_of(world)["metadata"]
    assert not meta.get("deletionTimestamp")
    assert "karpenter.sh/termination" not in meta.get("finalizers", [])
    assert not meta.get("ownerReferences")


def test_a_pool_that_only_has_the_name_is_not_adopted() -> None:
    world = World(adopt_unmarked_pools=True)
    world.cloud.add_canary(NAME, vm_size="Standard_NC12s_v3")
    world.create_machine(NAME)
    world.run(120)
    assert world.condition("MachineLaunched", NAME)["reason"] == "PoolNameTaken"
    world.delete_machine(NAME)
    assert world.run(120, lambda: world.is_gone(NAME))
    assert NAME in world.pools()
