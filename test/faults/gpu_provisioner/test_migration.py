"""Machines and pools that Azure's gpu-provisioner 0.2.x left behind: without our mark, launched and Ready."""

from __future__ import annotations

import pytest

from controller_runtime.resources import NODES, Object, uid_of
from gpu_provisioner.api.labels import MACHINES
from test.faults.gpu_provisioner.node_objects import machine_object
from test.faults.gpu_provisioner.world import World

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


@pytest.fixture
def stuck() -> World:
    """An inherited Machine that was deleted while unmarked pools are not adopted."""
    world = inherited()
    world.delete_machine(NAME)
    world.run(900, step_s=10)
    return world


def test_without_the_setting_an_unmarked_pool_is_left_alone_and_not_forgotten(stuck: World) -> None:
    assert list(stuck.pools()) == [NAME]
    assert not any(write.startswith("arm delete") for write in stuck.writes)
    assert not node_of(stuck)["metadata"].get("deletionTimestamp")
    ready = stuck.condition("Ready", NAME)
    uid = uid_of(stuck.machine(NAME) or {})
    assert ready["reason"] == "PoolNotOwned"
    for words in (f"agent pool {NAME}", f"kaito-machine-uid={uid}", "--adopt-unmarked-pools", "delete it by hand"):
        assert words in ready["message"]
    assert ("Warning", "PoolNotOwned", ready["message"]) in stuck.events
    assert stuck.registry.get_sample_value("gpu_provisioner_pools_not_owned") == 1


def test_the_first_way_on_is_to_adopt_the_pool_by_its_tag(stuck: World) -> None:
    tags = {"kaito-machine-uid": uid_of(stuck.machine(NAME) or {})}
    stuck.cloud.put(NAME, {**stuck.pool_body(NAME), "tags": tags})
    assert stuck.run(900, lambda: stuck.is_gone(NAME)), stuck.machine(NAME)
    assert stuck.pools() == {}
    assert stuck.registry.get_sample_value("gpu_provisioner_pools_not_owned") == 0


def test_the_second_way_on_is_to_delete_the_pool_by_hand(stuck: World) -> None:
    stuck.cloud.delete(NAME)
    assert stuck.run(900, lambda: stuck.is_gone(NAME)), stuck.machine(NAME)
    assert stuck.pools() == {}


def test_a_pool_that_the_other_provisioner_was_still_making_is_not_forgotten_either() -> None:
    world = World()
    pool_labels = {**machine_object(NAME)["metadata"]["labels"], "kaito.sh/machine-type": "gpu"}
    world.cloud.put(NAME, {"vmSize": "Standard_NC12s_v3", "count": 1, "mode": "User", "nodeLabels": pool_labels})
    body = machine_object(NAME)
    body["metadata"]["finalizers"] = ["karpenter.sh/termination"]
    world.admin.create(MACHINES, body)
    world.delete_machine(NAME)
    world.run(900, step_s=10)
    assert world.condition("Ready", NAME)["reason"] == "PoolNotOwned"
    assert NAME in world.pools()


def test_a_pool_that_only_has_the_name_is_not_adopted() -> None:
    world = World(adopt_unmarked_pools=True)
    world.cloud.add_canary(NAME, vm_size="Standard_NC12s_v3")
    world.create_machine(NAME)
    world.run(120)
    assert world.condition("MachineLaunched", NAME)["reason"] == "PoolNameTaken"
    world.delete_machine(NAME)
    assert world.run(120, lambda: world.is_gone(NAME))
    assert NAME in world.pools()
