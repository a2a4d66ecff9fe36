"""Whose node, Machine or object is it: equal labels, equal names, strangers' names, nodes that users brought, and the write budget."""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any

import pytest

from controller_runtime.client.api import PatchType
from controller_runtime.errors import FatalError
from controller_runtime.resources import (
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    SERVICES,
    annotations_of,
    labels_of,
    name_of,
    uid_of,
)
from kaito_controller.api import labels
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.setup import refuse_newer_api
from kaito_controller.workspace.state import naming
from test.support.processes import wait_until
from test.support.workspace_world import CRDS, ROOT, Operator, World, tuning, workspace

pytestmark = pytest.mark.faults


def owners(world: World) -> dict[str, str]:
    """Machine → namespace/name by its labels."""
    return {
        name_of(m): f"{labels_of(m)['kaito.sh/workspacenamespace']}/{labels_of(m)['kaito.sh/workspace']}"
        for m in world.all(MACHINES)
    }


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


def test_objects_changed_or_lost_are_put_back(world: World) -> None:
    with Operator(world):
        world.apply(workspace())
        world.until_ready()

        world.client.delete(SERVICES, "phi", "default")
        world.until(lambda: world.find(SERVICES, "phi", "default"), "the Service being put back")
        world.client.patch(DEPLOYMENTS, "phi", {"spec": {"replicas": 3}}, "default")
        world.until(
            lambda: world.find(DEPLOYMENTS, "phi", "default")["spec"]["replicas"] == 1, "the Deployment being repaired"
        )
        world.patch("phi", {"metadata": {"annotations": {"kaito.sh/enablelb": "True"}}})
        world.until(lambda: world.find(SERVICES, "phi", "default")["spec"]["type"] == "LoadBalancer", "a load balancer")
        world.until_ready()


def test_selector_and_ports_that_somebody_adds_to_the_service_are_taken_off_and_then_there_is_silence(
    world: World,
) -> None:
    with Operator(world) as operator:
        world.apply(workspace())
        world.until_ready()
        meant = world.find(SERVICES, "phi", "default")["spec"]
        port = {"name": "debug", "port": 9999, "protocol": "TCP", "targetPort": 9999}

        for patch in (
            {"selector": {"version": "2"}},
            {"ports": [*meant["ports"], port]},
            {"selector": {"version": "2"}},
        ):
            world.client.patch(SERVICES, "phi", {"spec": patch}, "default")
            world.until(lambda: world.find(SERVICES, "phi", "default")["spec"] == meant, f"{patch} being taken off")

        world.until(lambda: len(operator.controller) == 0, "quiet")
        before = len(world.writes())
        world.patch("phi", {"metadata": {"labels": {"touched": "yes"}}})
        world.until(lambda: len(operator.controller) == 0, "quiet")
        assert len(world.writes()) == before


def test_variable_added_by_hand_is_taken_off_at_once_and_an_annotation_of_others_stays(world: World) -> None:
    def template() -> Any:
        return world.find(DEPLOYMENTS, "phi", "default")["spec"]["template"]

    def patch(spec: Any) -> None:
        world.client.patch(DEPLOYMENTS, "phi", {"spec": {"template": spec}}, "default", patch_type=PatchType.STRATEGIC)

    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        meant = template()["spec"]
        restarted = {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}
        patch({"metadata": {"annotations": restarted}})

        patch({"spec": {"containers": [{"name": "phi", "env": [{"name": "DEBUG", "value": "1"}]}]}})

        world.until(lambda: "DEBUG" not in str(template()), "the variable being taken off")
        assert template()["spec"] == meant
        assert template()["metadata"]["annotations"] == restarted


def test_program_that_undoes_each_repair_is_answered_ever_more_rarely_and_loses_in_the_end(world: World) -> None:
    def repairs() -> int:
        return sum(line.startswith("update services phi") for line in world.writes())

    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        meant, start = world.find(SERVICES, "phi", "default")["spec"], time.monotonic()

        def undo_until(count: int) -> bool:
            if repairs() < count and world.find(SERVICES, "phi", "default")["spec"] == meant:
                world.client.patch(SERVICES, "phi", {"spec": {"selector": {"version": "2"}}}, "default")
            return repairs() >= count

        world.until(lambda: undo_until(3), "three repairs")

        assert time.monotonic() - start >= 3.0, "the pauses are one second, then two"
        world.until(lambda: world.find(SERVICES, "phi", "default")["spec"] == meant, "what is meant to stand")


def test_edit_without_effect_on_training_does_not_restart_it_and_one_with_effect_does_once(world: World) -> None:
    world.add_default_tuning_configs()
    world.script.job_succeeds = None
    with Operator(world):
        world.apply(workspace(tuning=tuning()))
        world.until(lambda: world.condition("JobStarted")[0] == "True", "JobStarted")
        first = uid_of(job(world))

        world.patch("phi", {"resource": {"preferredNodes": ["elsewhere"]}})
        world.until(lambda: world.condition("JobStarted")[0] == "True" and observed_generation(world) == 2, "a look")
        assert uid_of(job(world)) == first

        world.patch("phi", {"tuning": {"input": {"urls": ["https://example.com/other.parquet"]}}})
        world.until(lambda: job(world) is not None and uid_of(job(world)) != first, "the second run")
        second = uid_of(job(world))
        world.script.job_succeeds = True
        world.until_ready()
        assert uid_of(job(world)) == second


def job(world: World):
    return world.find(JOBS, "phi", "default")


def observed_generation(world: World) -> int:
    return min(c["observedGeneration"] for c in world.get()["status"]["conditions"])


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
