"""The Machine API or the Workspace API is missing, comes later, is removed, or is of a newer KAITO."""

from __future__ import annotations

from copy import deepcopy

import pytest

from controller_runtime.errors import FatalError
from controller_runtime.resources import (
    NODES,
    annotations_of,
)
from kaito_controller.api import labels
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.setup import refuse_newer_api
from kaito_controller.workspace.state import naming
from test.support.processes import wait_until
from test.support.workspace_world import CRDS, ROOT, Operator, World, owners, workspace

pytestmark = pytest.mark.faults


def test_nodes_that_users_bring_work_without_any_machine_api() -> None:
    with World(machine_crd=False) as world, Operator(world):
        world.apply(workspace())
        world.until(lambda: world.condition("WorkspaceReady")[1] == "MachineAPIMissing", "MachineAPIMissing")
        assert "Standard_NC6s_v3" in world.condition("WorkspaceReady")[2]

        world.add_node("brought", apps="phi")

        world.until_ready()
        assert world.condition("MachineReady")[1] == "MachinesNotNeeded"
        world.delete()
        world.until(lambda: world.get() is None, "deletion without the CRD")
        assert naming.CLAIM not in annotations_of(world.find(NODES, "brought"))


def test_machine_api_that_is_installed_later_is_used_without_a_restart() -> None:
    with World(machine_crd=False) as world, Operator(world):
        world.add_node("brought", apps="phi")
        world.apply(workspace())
        world.apply(workspace("second"))
        world.until_ready()
        world.until(lambda: world.condition("WorkspaceReady", "second")[1] == "MachineAPIMissing", "MachineAPIMissing")

        world.install("karpenter.sh_machines.yaml", MACHINES)

        world.until_ready("second", timeout_s=40.0)
        assert list(owners(world).values()) == ["default/second"]
        assert world.get()["status"]["workerNodes"] == ["brought"]
        world.delete("second")
        world.until(lambda: world.get("second") is None and not world.all(MACHINES), "the watch on Machines to work")


def test_without_a_machine_api_nodes_are_claimed_all_or_none() -> None:
    with World(machine_crd=False) as world, Operator(world):
        world.add_node("n1", pool="p")
        resource = {"count": 2, "labelSelector": {"matchLabels": {"pool": "p"}}}
        world.apply(workspace(resource=resource))
        world.until(lambda: world.condition("WorkspaceReady")[1] == "MachineAPIMissing", "MachineAPIMissing")
        assert naming.CLAIM not in annotations_of(world.find(NODES, "n1"))

        world.add_node("n2", pool="p")

        world.until_ready()


@pytest.mark.long
def test_machine_api_that_is_removed_and_installed_again_is_named_and_used_without_a_restart() -> None:
    with World() as world, Operator(world):
        world.apply(workspace())
        world.until_ready()

        world.client.delete(CRDS, "machines.karpenter.sh")

        world.until(lambda: world.condition("MachineReady")[1] == "MachineAPIMissing", "MachineAPIMissing", 40.0)
        world.until(lambda: world.condition("WorkspaceReady")[0] == "False", "no claim to serve")
        world.install("karpenter.sh_machines.yaml", MACHINES)
        world.until_ready(timeout_s=40.0)
        assert len(world.all(MACHINES)) == 1


def test_workspace_api_that_is_removed_and_installed_again_is_served_without_a_restart() -> None:
    with World() as world, Operator(world):
        world.apply(workspace())
        world.until_ready()
        world.delete()
        world.until(lambda: world.get() is None, "the end of the Workspace")

        world.client.delete(CRDS, "workspaces.kaito.sh")
        world.install("kaito.sh_workspaces.yaml", labels.WORKSPACES)

        world.apply(workspace("again"))
        world.until_ready("again", timeout_s=40.0)


def test_the_crd_of_a_newer_kaito_stops_the_controller_with_the_way_on() -> None:
    with World() as world:
        newer = world.client.get(CRDS, "workspaces.kaito.sh")
        newer["spec"]["versions"].append(
            {**deepcopy(newer["spec"]["versions"][0]), "name": "v1beta1", "storage": False}
        )
        world.client.replace(CRDS, newer)
        wait_until(lambda: _refusal_to_start(world) != "", what="the second version being served")

        said = _refusal_to_start(world)

    assert "serves kaito.sh/v1beta1" in said
    heading = said.rpartition("under '")[2].partition("'")[0]
    assert f"## {heading}\n" in (ROOT / "docs" / "install.md").read_text()


def _refusal_to_start(world: World) -> str:
    try:
        refuse_newer_api(world.client, "kaito-system")
    except FatalError as error:
        return str(error)
    return ""
