"""Whose node, Machine or object is it: equal labels, equal names, strangers' names, nodes that users brought."""

from __future__ import annotations

import pytest

from controller_runtime.resources import (
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    SERVICES,
    annotations_of,
    labels_of,
    name_of,
    uid_of,
)
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.state import naming
from test.support.workspace_world import Operator, World, owners, workspace

pytestmark = pytest.mark.faults


def test_names_that_read_alike_when_joined_are_kept_apart(world: World) -> None:
    for namespace in ("c", "c-a"):
        world.create(NAMESPACES, {"metadata": {"name": namespace}})
    with Operator(world):
        world.apply(workspace("a-b", "c"))
        world.apply(workspace("b", "c-a"))
        world.until_ready("a-b", "c")
        world.until_ready("b", "c-a")
        assert sorted(owners(world).values()) == ["c-a/b", "c/a-b"]

        world.delete("a-b", "c")
        world.until(lambda: world.get("a-b", "c") is None, "deletion")

        assert list(owners(world).values()) == ["c-a/b"]
        assert world.condition("WorkspaceReady", "b", "c-a")[0] == "True"


def test_name_deleted_and_created_again_at_once_gets_machines_of_its_own(world: World) -> None:
    with Operator(world):
        old = world.apply(workspace())
        world.until_ready()
        before = set(owners(world))
        world.delete()
        world.until(lambda: world.get() is None, "deletion")

        new = world.apply(workspace())
        world.until_ready()

        assert uid_of(new) != uid_of(old)
        assert before.isdisjoint(owners(world))
        assert {annotations_of(m)[naming.WORKSPACE_UID] for m in world.all(MACHINES)} == {uid_of(new)}


def test_machines_of_a_workspace_whose_finalizer_was_removed_by_force_are_collected(world: World) -> None:
    with Operator(world):
        world.apply(workspace())
        world.until_ready()

    world.patch("phi", {"metadata": {"finalizers": []}})
    world.delete()
    assert world.get() is None
    for resource in (SERVICES, DEPLOYMENTS):
        world.client.delete(resource, "phi", "default")  # what the garbage collector does for namespaced objects
    new = world.apply(workspace())
    with Operator(world):
        world.until_ready()
        world.until(lambda: len(world.all(MACHINES)) == 1, "the orphan being collected")

    assert annotations_of(world.all(MACHINES)[0])[naming.WORKSPACE_UID] == uid_of(new)


def test_two_workspaces_with_equal_labels_never_share_a_node(world: World) -> None:
    for number in range(3):
        world.add_node(f"brought-{number}", pool="shared")
    resource = {"labelSelector": {"matchLabels": {"pool": "shared"}}}
    with Operator(world):
        for name in ("one", "two"):
            world.apply(workspace(name, resource=resource))
        world.until_ready("one")
        world.until_ready("two")

        used = [tuple(world.get(name)["status"]["workerNodes"]) for name in ("one", "two")]
        assert len({*used[0], *used[1]}) == 2
        assert not world.all(MACHINES)

        world.delete("one")
        world.until(lambda: world.get("one") is None, "deletion")
        assert naming.CLAIM not in annotations_of(world.find(NODES, used[0][0]))
        assert naming.CLAIM in annotations_of(world.find(NODES, used[1][0]))


def test_preferred_node_is_used_even_with_another_instance_type(world: World) -> None:
    world.add_node("mine", instance_type="on-premises", apps="phi")
    with Operator(world):
        world.apply(workspace(resource={"preferredNodes": ["mine"]}))
        world.until_ready()

        assert world.get()["status"]["workerNodes"] == ["mine"]
        assert not world.all(MACHINES)


def test_machine_name_of_a_stranger_is_passed_over_and_left_alone(world: World) -> None:
    created = world.apply(workspace())
    taken = naming.machine_name(uid_of(created), 0, 0)
    marks = {"kaito.sh/workspace": "other", "kaito.sh/workspacenamespace": "default"}
    world.create(MACHINES, {"metadata": {"name": taken, "labels": marks}, "spec": {"requirements": [], "taints": []}})
    with Operator(world):
        world.until(lambda: len(world.all(MACHINES)) == 2, "a Machine under another name")

    names = {name_of(machine): labels_of(machine)["kaito.sh/workspace"] for machine in world.all(MACHINES)}
    assert names == {taken: "other", naming.machine_name(uid_of(created), 0, 1): "phi"}
