"""The contract with whoever makes Machines, seen from their side: what KAITO 0.3.x reads, when, and what it concludes.

The consumer below does what that program is known to do (create, look after one second, poll `Ready` for 240 s, list Nodes by labels);
it shares no code with the provisioner.
"""

from __future__ import annotations

from typing import Any

import pytest

from controller_runtime.resources import NODES
from gpu_provisioner.api.labels import MACHINES
from hack.localcluster.durations import Durations
from test.faults.gpu_provisioner.node_objects import machine_object
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults
UNAVAILABLE = "all requested instance types were unavailable during launch"


class Consumer:
    """KAITO 0.3.x, as far as Machines are concerned."""

    def __init__(self, world: World) -> None:
        self.world = world

    def create(self, name: str, **spec: Any) -> str:
        """`stopped` when the SKU is unavailable, else `created`."""
        self.world.admin.create(MACHINES, machine_object(name, **spec))
        self.world.run(1)
        launched = self.world.condition("MachineLaunched", name)
        is_hopeless = launched.get("status") == "False" and launched.get("message") == UNAVAILABLE
        return "stopped" if is_hopeless else "created"

    def wait(self, name: str) -> str | None:
        """nodeName once Ready is True; None after 240 s."""
        if not self.world.run(240, lambda: self.world.is_ready(name)):
            return None
        return str(self.world.machine(name)["status"]["nodeName"])

    def should_wait_for(self, name: str, instance_type: str) -> bool:
        """Whether an existing Machine counts as one on its way, so that no second one is made."""
        machine = self.world.machine(name)
        wanted = any(
            r["key"] == "node.kubernetes.io/instance-type" and instance_type in r["values"]
            for r in machine["spec"]["requirements"]
        )
        conditions = (machine.get("status") or {}).get("conditions")
        pending = not conditions or self.world.condition("MachineInitialized", name).get("status") == "False"
        return wanted and pending

    def usable_nodes(self, **match_labels: str) -> list[str]:
        nodes = self.world.admin.list(NODES).items
        return [
            n["metadata"]["name"]
            for n in nodes
            if all(n["metadata"]["labels"].get(k) == v for k, v in match_labels.items())
            and not n["metadata"].get("deletionTimestamp")
            and any(c["type"] == "Ready" and c["status"] == "True" for c in n["status"]["conditions"])
            and n["metadata"]["labels"].get("node.kubernetes.io/instance-type") == "Standard_NC12s_v3"
        ]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kaito(world: World) -> Consumer:
    return Consumer(world)


def test_create_wait_and_find_the_node_by_the_workspaces_labels(world: World, kaito: Consumer) -> None:
    assert kaito.create("ws012345678") == "created"
    node = kaito.wait("ws012345678")
    assert node is not None
    assert kaito.usable_nodes(apps="llama") == [node]
    labels = world.admin.get(NODES, node)["metadata"]["labels"]
    assert labels["kaito.sh/machine-type"] == "gpu"
    assert labels["kaito.sh/workspace"] == "workspace-llama"
    assert labels["kaito.sh/workspacenamespace"] == "default"


def test_a_machine_on_its_way_is_waited_for_at_every_moment_until_it_is_ready(world: World, kaito: Consumer) -> None:
    kaito.create("ws012345678")
    for _ in range(600):
        if world.is_ready("ws012345678"):
            break
        assert kaito.should_wait_for("ws012345678", "Standard_NC12s_v3"), world.machine()
        world.run(1)
    assert world.is_ready("ws012345678")
    assert not kaito.should_wait_for("ws012345678", "Standard_NC12s_v3")


def test_node_name_is_never_later_than_ready(world: World, kaito: Consumer) -> None:
    early: list[bool] = []

    def look(change: Any) -> None:
        if change.resource == ("karpenter.sh", "machines"):
            status = change.entry.obj.get("status") or {}
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ())
            early.append(not ready or bool(status.get("nodeName")))

    world.server.store.listeners.append(look)
    kaito.create("ws012345678")
    assert kaito.wait("ws012345678")
    assert all(early)


def test_an_unavailable_sku_stops_the_consumer_within_a_second(world: World, kaito: Consumer) -> None:
    world.cloud.set_stock("Standard_NC12s_v3", "not_allowed")
    kaito.create("ws000000001")
    assert kaito.create("ws000000002") == "stopped"


def test_a_creation_slower_than_the_consumers_patience_goes_on_and_is_found_later() -> None:
    world = World(durations=Durations(pool_create_s=420.0))
    kaito = Consumer(world)
    kaito.create("ws012345678")
    assert kaito.wait("ws012345678") is None
    assert kaito.should_wait_for("ws012345678", "Standard_NC12s_v3")
    assert kaito.wait("ws012345678") is not None


def test_the_machine_outlives_its_node(world: World, kaito: Consumer) -> None:
    kaito.create("ws012345678")
    kaito.wait("ws012345678")
    order: list[str] = []
    world.server.store.listeners.append(
        lambda change: order.append(change.resource[1]) if change.event == "DELETED" else None
    )
    world.delete_machine()
    assert world.run(900, world.is_gone)
    assert order == ["nodes", "machines"]


def test_conditions_have_the_shape_and_order_of_the_reference(world: World, kaito: Consumer) -> None:
    kaito.create("ws012345678")
    pending = world.machine()["status"]["conditions"]
    assert [c["type"] for c in pending] == ["MachineInitialized", "MachineLaunched", "MachineRegistered", "Ready"]
    assert {frozenset(c) for c in pending} == {frozenset({"type", "status", "reason", "message", "lastTransitionTime"})}
    assert pending[0]["message"] == "Machine is not launched"
    kaito.wait("ws012345678")
    assert {frozenset(c) for c in world.machine()["status"]["conditions"]} == {
        frozenset({"type", "status", "lastTransitionTime"})
    }
