"""How many writes a Workspace costs from apply to ready and to its end, and none in a steady state."""

from __future__ import annotations

import pytest

from controller_runtime.resources import (
    NODES,
    labels_of,
    name_of,
)
from kaito_controller.workspace.act.actions import MACHINES
from test.support.workspace_world import Operator, World, workspace

pytestmark = pytest.mark.faults


def test_one_node_costs_at_most_twelve_writes_and_then_none_at_all(world: World) -> None:
    with Operator(world) as operator:
        world.apply(workspace())
        world.until_ready()
        world.until(lambda: len(operator.controller) == 0, "quiet")

        assert len(world.writes()) <= 12, world.writes()
        before, lists = len(world.writes()), count_lists(world)
        node = name_of(world.all(NODES)[0])
        world.client.patch(
            NODES, node, {"status": {"images": [{"names": ["x"], "sizeBytes": 1}]}}, subresource="status"
        )
        world.patch("phi", {"metadata": {"labels": {"touched": "yes"}}})
        world.until(lambda: labels_of(world.get()).get("touched"), "the touch")
        world.until(lambda: len(operator.controller) == 0, "quiet")

        assert len(world.writes()) == before
        assert count_lists(world) == lists


def test_a_workspace_on_the_second_of_its_instance_types_is_silent_too(world: World) -> None:
    types = ["Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4"]
    world.script.launch_failure = lambda order: ("QuotaExceeded", "no") if types[0] in str(order["spec"]) else None
    with Operator(world) as operator:
        world.apply(workspace(resource={"instanceType": types[0], "instanceTypes": types}))
        world.until_ready()
        world.until(lambda: len(operator.controller) == 0, "quiet")
        found = world.get()
        assert found is not None
        assert found["status"]["instanceType"] == types[1]
        before, lists = len(world.writes()), count_lists(world)

        world.patch("phi", {"metadata": {"labels": {"touched": "yes"}}})
        world.until(lambda: labels_of(world.get()).get("touched"), "the touch")
        world.until(lambda: len(operator.controller) == 0, "quiet")

        assert len(world.writes()) == before
        assert count_lists(world) == lists


def count_lists(world: World) -> int:
    return sum(1 for entry in world.server.audit if entry.agent.startswith("kaito-controller") and entry.verb == "list")


def test_three_nodes_cost_two_more_writes_than_one(world: World) -> None:
    with Operator(world):
        world.apply(workspace(resource={"count": 3}))
        world.until_ready()

    assert len(world.writes()) <= 14, world.writes()


def written_until_gone(world: World, before: int) -> list[str]:
    world.until(lambda: world.get() is None, "deletion")
    written = [entry.split() for entry in world.writes()[before:]]
    return sorted(f"{verb} {what}" for verb, what, _, code in written if code.startswith("2"))


FOR_A_DELETION = ["delete deployments", "delete machines", "delete services", "patch workspaces"]


def test_a_deletion_of_a_moment_costs_four_writes_and_no_status(world: World) -> None:
    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        before = len(world.writes())

        world.delete()

        assert written_until_gone(world, before) == FOR_A_DELETION


def test_a_deletion_that_waits_for_its_machine_says_so_once(world: World) -> None:
    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        (machine,) = (name_of(found) for found in world.all(MACHINES))
        world.script.machine_deletion = False
        before = len(world.writes())

        world.delete()
        world.until(lambda: world.condition("WorkspaceDeleting")[1] == "DeletingMachines", "the word about it")
        assert machine in world.condition("WorkspaceDeleting")[2]
        world.script.machine_deletion = True

        assert written_until_gone(world, before) == [*FOR_A_DELETION, "patch workspaces/status"]
