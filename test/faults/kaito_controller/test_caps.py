"""Caps on what Workspaces may order, with the controller and an API server: nothing passes them, and room is used when it comes."""

from __future__ import annotations

import pytest

from controller_runtime.resources import NAMESPACES
from gpu_provisioner.api.dialect import DIALECTS
from kaito_controller.api.labels import WORKSPACES
from test.support.workspace_world import Operator, World, workspace

pytestmark = [pytest.mark.faults, pytest.mark.parametrize("world", DIALECTS, indirect=True, ids=lambda api: api.name)]


def waiting(world: World, names: list[str]) -> list[str]:
    return [name for name in names if world.condition("ResourceReady", name)[1] == "NodeLimitReached"]


def test_twelve_workspaces_hold_three_nodes_and_the_next_goes_on_when_one_is_deleted(world: World) -> None:
    names = [f"w{number}" for number in range(12)]
    with Operator(world, max_nodes_per_namespace=3, workers=8):
        for name in names:
            world.apply(workspace(name))
        world.until(lambda: len(waiting(world, names)) == 9, "nine that wait")
        assert len(world.client.list(world.node_api.resource).items) == 3
        ready = [name for name in names if name not in waiting(world, names)]
        for name in ready:
            world.until_ready(name)

        world.delete(ready[0])

        world.until(lambda: len(waiting(world, names)) == 8, "one that goes on")
        assert len(world.client.list(world.node_api.resource).items) <= 3


def test_cluster_is_full_of_both_kinds_of_orders_together(world: World) -> None:
    """Two nodes were ordered by the one API; the cap leaves no place for a third by the other."""
    with Operator(world, max_nodes=2, max_nodes_per_namespace=5):
        for name in ("one", "two"):
            world.apply(workspace(name))
        for name in ("one", "two"):
            world.until_ready(name)
    (other,) = (dialect for dialect in DIALECTS if dialect is not world.node_api)
    world.install(f"karpenter.sh_{other.resource.plural}.yaml", other.resource)

    with Operator(world, max_nodes=2, max_nodes_per_namespace=5, node_api=other.name):
        world.apply(workspace("three"))
        world.until(lambda: waiting(world, ["three"]), "the one that waits")

        assert world.client.list(other.resource).items == []
        assert len(world.client.list(world.node_api.resource).items) == 2


def test_annotation_of_the_namespace_raises_the_limit_and_a_lowered_one_takes_nothing_away(world: World) -> None:
    with Operator(world, max_nodes_per_namespace=0):
        world.apply(workspace())
        world.until(lambda: waiting(world, ["phi"]), "the explanation")

        world.client.patch(NAMESPACES, "default", {"metadata": {"annotations": {"kaito.sh/max-nodes": "1"}}})
        world.until_ready()

        world.client.patch(NAMESPACES, "default", {"metadata": {"annotations": {"kaito.sh/max-nodes": "0"}}})
        world.patch("phi", {"metadata": {"annotations": {"touched": "yes"}}})
        world.apply(workspace("late"))
        world.until(lambda: waiting(world, ["late"]), "the refusal of a second one")
        assert world.condition("WorkspaceReady")[0] == "True"
        assert len(world.client.list(world.node_api.resource).items) == 1


def test_scaling_a_workspace_does_not_pass_the_limit(world: World) -> None:
    """What `kubectl scale` and an autoscaler write."""
    with Operator(world, max_nodes_per_namespace=2):
        world.apply(workspace())
        world.until_ready()

        world.client.patch(WORKSPACES, "phi", {"spec": {"replicas": 5}}, "default", subresource="scale")

        world.until(lambda: waiting(world, ["phi"]), "the explanation")
        assert "may hold 2 nodes" in world.condition("ResourceReady")[2]
        assert len(world.client.list(world.node_api.resource).items) == 1, "nothing is ordered, and what serves is kept"
