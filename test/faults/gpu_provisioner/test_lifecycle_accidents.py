"""What can happen to a Machine from outside, and that it ends well: the scenarios of the reference, with our outcomes."""

from __future__ import annotations

import itertools
import re

import pytest

from controller_runtime.resources import NODES
from gpu_provisioner.api import reasons
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.cloud.azure.errors import classify
from hack.localcluster.cloud.model import Outcome, Script
from test.faults.gpu_provisioner.node_objects import machine_object
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults


@pytest.fixture
def ready_world() -> World:
    world = World()
    world.create_machine()
    assert world.run(600, world.is_ready)
    return world


def test_every_condition_is_passed_in_order() -> None:
    world = World()
    seen: list[tuple[str, ...]] = []
    world.server.store.listeners.append(lambda _: seen.append(_statuses(world)))
    world.create_machine()
    assert world.run(600, world.is_ready)
    steps = [statuses for number, statuses in enumerate(seen) if number == 0 or statuses != seen[number - 1]]
    assert steps[0] == ()
    assert ("Initialized=False", "Launched=False", "Registered=False", "Ready=False") in steps
    assert ("Initialized=False", "Launched=True", "Registered=True", "Ready=False") in steps
    assert steps[-1] == ("Initialized=True", "Launched=True", "Registered=True", "Ready=True")


def _statuses(world: World) -> tuple[str, ...]:
    machine = next(iter(world.server.objects(MACHINES)), None) or {}
    conditions = (machine.get("status") or {}).get("conditions") or ()
    return tuple(f"{c['type'].removeprefix('Machine')}={c['status']}" for c in conditions)


def test_the_first_status_comes_before_the_order_and_within_a_second() -> None:
    world = World()
    world.create_machine()
    world.settle()
    assert world.writes[:3] == [
        "patch machines ws012345678",
        "patch machines/status ws012345678",
        "arm put ws012345678",
    ]
    assert world.condition("MachineLaunched")["reason"] == reasons.LAUNCH_IN_PROGRESS


def test_a_steady_state_writes_nothing_and_asks_azure_once_per_period(ready_world: World) -> None:
    ready_world.run(200)
    writes, calls = len(ready_world.writes), len(ready_world.azure_calls)
    ready_world.run(3600, step_s=5)
    assert len(ready_world.writes) == writes
    asked = ready_world.azure_calls[calls:]
    assert all(call.endswith(" list") for call in asked)
    assert len(asked) <= 31


def test_a_restart_of_a_steady_state_writes_nothing(ready_world: World) -> None:
    ready_world.run(30)
    writes = len(ready_world.writes)
    ready_world.start()
    ready_world.run(300)
    assert len(ready_world.writes) == writes


def test_a_pool_is_asked_about_at_most_once_in_ten_seconds() -> None:
    world = World()
    world.create_machine()
    assert world.run(600, world.is_ready)
    times = [int(call.split()[0]) for call in world.azure_calls if " get " in call]
    # The first look found no pool, so that the order followed at once.
    assert all(later - earlier >= 9 for earlier, later in itertools.pairwise(times[1:]))


def test_fifty_machines_take_as_long_as_one() -> None:
    world = World()
    names = [f"ws{number:09d}" for number in range(50)]
    for name in names:
        world.create_machine(name)
    assert world.run(300, lambda: all(world.is_ready(name) for name in names), step_s=5)
    assert len(world.orders) == 50
    reads = [call for call in world.azure_calls if " get " in call or call.endswith(" list")]
    assert len(reads) < 100, len(reads)
    assert check(world) == []


def test_the_node_carries_labels_taints_startup_taints_annotations_finalizer_and_owner() -> None:
    world = World()
    startup = {"key": "example.com/agent", "effect": "NoSchedule"}
    world.create_machine(startupTaints=[startup], annotations={"example.com/team": "ml"})
    assert world.run(600, lambda: world.condition("MachineInitialized").get("reason") == reasons.STARTUP_TAINTS_EXIST)
    node = world.nodes()[0]
    assert node["metadata"]["labels"]["kaito.sh/workspace"] == "workspace-llama"
    assert node["metadata"]["labels"]["kaito.sh/machine-type"] == "gpu"
    assert node["metadata"]["labels"]["karpenter.sh/registered"] == "true"
    assert node["metadata"]["annotations"]["example.com/team"] == "ml"
    assert "karpenter.sh/termination" in node["metadata"]["finalizers"]
    assert [r["kind"] for r in node["metadata"]["ownerReferences"]] == ["Machine"]
    assert startup in node["spec"]["taints"]
    assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in node["spec"]["taints"]
    assert world.condition("Ready")["status"] == "False"

    kept = [taint for taint in node["spec"]["taints"] if taint != startup]
    world.admin.patch(NODES, node["metadata"]["name"], {"spec": {"taints": kept}})
    assert world.run(30, world.is_ready)
    world.run(300)
    assert startup not in world.nodes()[0]["spec"]["taints"]
    assert world.nodes()[0]["metadata"]["labels"]["karpenter.sh/initialized"] == "true"


def test_a_requested_resource_gates_readiness_until_the_plugin_offers_it() -> None:
    world = World()
    world.create_machine(resources={"requests": {"storage": "100Gi", "example.com/fpga": "1"}})
    assert world.run(
        600, lambda: world.condition("MachineInitialized").get("reason") == reasons.RESOURCE_NOT_REGISTERED
    )
    name = world.nodes()[0]["metadata"]["name"]
    world.admin.patch(NODES, name, {"status": {"allocatable": {"example.com/fpga": "1"}}}, subresource="status")
    assert world.run(30, world.is_ready)
    assert world.machine()["status"]["allocatable"]["example.com/fpga"] == "1"


def test_a_resource_that_never_comes_ends_the_machine_with_a_reason() -> None:
    world = World()
    world.create_machine(resources={"requests": {"example.com/fpga": "1"}})
    assert world.run(3600, world.is_gone, step_s=5)
    assert any(reason == reasons.INITIALIZATION_TIMEOUT for _, reason, _ in world.events)
    assert check(world) == []


def test_ready_follows_the_node_without_touching_the_other_conditions(ready_world: World) -> None:
    since = ready_world.condition("MachineInitialized")["lastTransitionTime"]
    ready_world.set_node_ready(False)
    assert ready_world.run(5, lambda: ready_world.condition("Ready")["reason"] == reasons.NODE_NOT_READY)
    ready_world.run(300)
    ready_world.set_node_ready(True)
    assert ready_world.run(5, ready_world.is_ready)
    assert ready_world.condition("MachineInitialized")["lastTransitionTime"] == since
    assert len(ready_world.pools()) == 1


def test_a_node_not_ready_for_ten_minutes_is_given_up(ready_world: World) -> None:
    ready_world.set_node_ready(False)
    ready_world.run(590)
    assert not ready_world.machine()["metadata"].get("deletionTimestamp")
    assert ready_world.run(900, ready_world.is_gone)
    assert any(reason == reasons.NODE_UNHEALTHY for _, reason, _ in ready_world.events)
    assert check(ready_world) == []


@pytest.mark.parametrize("excuse", ["stopped", "upgrading"])
def test_a_node_of_a_pool_that_is_not_running_is_not_given_up(ready_world: World, excuse: str) -> None:
    if excuse == "stopped":
        ready_world.cloud.set_power("ws012345678", "Stopped")
    else:
        ready_world.cloud.set_state("ws012345678", "Upgrading")
    ready_world.set_node_ready(False)
    ready_world.run(3000, step_s=5)
    assert not ready_world.machine()["metadata"].get("deletionTimestamp")
    away = ready_world.condition("Ready")
    assert (away["status"], away["reason"]) == ("Unknown", reasons.POOL_IN_MAINTENANCE)
    assert excuse in away["message"].lower()
    ready_world.azure_down = classify(None, "", "connection refused")
    ready_world.run(120, step_s=5)
    assert ready_world.condition("Ready") == away
    ready_world.azure_down = None
    ready_world.cloud.set_power("ws012345678", "Running")
    ready_world.cloud.set_state("ws012345678", "Succeeded")
    ready_world.run(300, step_s=5)
    assert not ready_world.machine()["metadata"].get("deletionTimestamp")
    late = ready_world.condition("Ready")
    assert (late["status"], late["reason"]) == ("False", reasons.NODE_NOT_READY)
    assert late["lastTransitionTime"] > away["lastTransitionTime"]
    ready_world.set_node_ready(True)
    assert ready_world.run(60, ready_world.is_ready)


def test_a_stepped_wall_clock_ends_no_limit(ready_world: World) -> None:
    ready_world.set_node_ready(False)
    ready_world.run(60)
    ready_world.clock.step_wall(86400)
    ready_world.run(300)
    assert not ready_world.machine()["metadata"].get("deletionTimestamp")


def test_a_pool_deleted_behind_our_back_ends_the_machine(ready_world: World) -> None:
    ready_world.cloud.remove_behind("ws012345678")
    assert ready_world.run(600, ready_world.is_gone)
    verdicts = {reason for _, reason, _ in ready_world.events}
    assert verdicts & {reasons.POOL_GONE, reasons.NODE_DELETED}
    assert ready_world.nodes() == []
    assert check(ready_world) == []


def test_a_pool_deleted_before_its_node_joined_ends_the_machine() -> None:
    world = World()
    world.cloud.script(Script(Outcome.NO_NODE))
    world.create_machine()
    assert world.run(600, lambda: world.condition("MachineLaunched").get("status") == "True")
    world.cloud.remove_behind("ws012345678")
    assert world.run(600, world.is_gone)
    assert check(world) == []


def test_a_node_deleted_by_hand_takes_machine_and_pool_along(ready_world: World) -> None:
    ready_world.add_pod()
    ready_world.admin.delete(NODES, ready_world.nodes()[0]["metadata"]["name"])
    assert ready_world.run(900, ready_world.is_gone)
    assert any(reason == reasons.NODE_DELETED for _, reason, _ in ready_world.events)
    ends = [note for _, reason, note in ready_world.events if reason in (reasons.DRAINING, reasons.POOL_DELETING)]
    assert ends
    assert all(
        re.search(r"; it goes because of NodeDeleted: Node \S+ was deleted; its Machine goes with it$", e) for e in ends
    ), ends
    assert ready_world.pods() == []
    assert check(ready_world) == []


def test_no_node_within_the_limit_ends_the_machine_and_says_which_limit_passed() -> None:
    world = World()
    world.cloud.script(Script(Outcome.NO_NODE))
    world.create_machine()
    assert world.run(1080, lambda: world.condition("MachineRegistered").get("reason") == reasons.NODE_NOT_FOUND)
    assert world.run(1200, world.is_gone)
    assert any(reason == reasons.REGISTRATION_TIMEOUT and "15m" in note for _, reason, note in world.events)
    assert check(world) == []


def test_a_pool_that_is_never_ready_ends_the_machine_and_says_which_limit_passed() -> None:
    world = World()
    world.cloud.script(Script(Outcome.HANG))
    world.create_machine()
    assert world.run(1860, lambda: bool(world.machine()["metadata"].get("deletionTimestamp")), step_s=5)
    assert any(reason == reasons.LAUNCH_TIMEOUT and "30m" in note for _, reason, note in world.events)
    world.cloud.release("ws012345678")
    assert world.run(900, world.is_gone)
    assert check(world) == []


def test_a_machine_that_is_refused_for_ever_ends_with_the_last_refusal_in_its_verdict() -> None:
    world = World()
    world.cloud.set_quota(families={"standardNCSv3Family": 0})
    world.create_machine()
    assert world.run(1000, world.is_gone, step_s=5)
    assert any(r == reasons.LAUNCH_TIMEOUT and "QuotaExceeded" in note for _, r, note in world.events)
    assert world.orders == []


def test_a_node_that_joins_before_its_pool_is_ready_is_registered_afterwards() -> None:
    world = World()
    world.cloud.script(Script(Outcome.EARLY_NODE))
    world.create_machine()
    assert world.run(600, world.is_ready)
    assert check(world) == []


def test_two_nodes_in_the_pool_are_reported_and_nothing_is_deleted() -> None:
    world = World()
    world.cloud.script(Script(Outcome.NO_NODE))
    created = world.create_machine()
    names = ("first", "second")
    for name in names:
        labels = {"agentpool": "ws012345678", "kaito.sh/machine-uid": created["metadata"]["uid"]}
        world.admin.create(NODES, {"metadata": {"name": name, "labels": labels}})
    assert world.run(600, lambda: world.condition("MachineRegistered").get("reason") == reasons.MULTIPLE_NODES_FOUND)
    world.run(3600, step_s=10)
    assert not world.machine()["metadata"].get("deletionTimestamp")
    assert len(world.nodes()) == 2


def test_an_unlabelled_machine_is_ignored_for_ever() -> None:
    world = World()
    world.admin.create(MACHINES, {"metadata": {"name": "stranger"}, "spec": {}})
    world.run(300)
    assert world.writes == []
    assert "finalizers" not in world.machine("stranger")["metadata"]


def test_a_rag_engine_machine_is_served() -> None:
    world = World()
    machine = machine_object(labels={"kaito.sh/ragengine": "r"})
    del machine["metadata"]["labels"]["kaito.sh/workspace"]
    world.admin.create(MACHINES, machine)
    assert world.run(600, world.is_ready)


@pytest.mark.parametrize("name", ["systempool", "userpool"])
def test_a_machine_named_like_an_existing_pool_never_touches_it(name: str) -> None:
    world = World()
    world.create_machine(name)
    world.run(300)
    assert world.condition("MachineLaunched", name)["reason"] == reasons.POOL_NAME_TAKEN
    assert not any(call.endswith(f" put {name}") or f" delete {name}" in call for call in world.azure_calls)
    world.delete_machine(name)
    assert world.run(120, lambda: world.is_gone(name))
    assert check(world) == []


def test_a_machine_that_goes_on_failing_says_so_and_another_one_becomes_ready() -> None:
    world = World()
    world.unforeseen.add("wspoisoned0")
    world.create_machine("wspoisoned0")
    world.create_machine("wswell00000")

    assert world.run(600, lambda: world.is_ready("wswell00000"))
    told = [note for kind, reason, note in world.events if (kind, reason) == ("Warning", "InternalError")]

    assert len(told) == 1
    assert told[0].startswith("Reconciling this Machine goes on failing: RuntimeError: unforeseen.")
    world.unforeseen.clear()
    assert world.run(1200, lambda: world.is_ready("wspoisoned0"))
