"""Deleting a Machine: drain, pool, Node, finalizer, in this order and whatever comes between."""

from __future__ import annotations

import pytest

from controller_runtime.resources import NODES
from gpu_provisioner.api import reasons
from gpu_provisioner.api.labels import MACHINES
from hack.localcluster.cloud.model import Outcome, Script
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults


@pytest.fixture
def ready_world() -> World:
    world = World()
    world.create_machine()
    assert world.run(600, world.is_ready)
    return world


def test_pods_are_evicted_from_a_cordoned_node_before_the_pool_goes(ready_world: World) -> None:
    ready_world.add_pod()
    before = len(ready_world.writes)
    ready_world.delete_machine()
    assert ready_world.run(900, ready_world.is_gone)
    ours = [w for w in ready_world.writes[before:] if not w.startswith("patch machines")]
    cordon = next(i for i, w in enumerate(ours) if w.startswith("patch nodes"))
    assert ours[cordon + 1] == "evict model-0"
    assert ours[cordon + 2] == "arm delete ws012345678"
    assert check(ready_world) == []


def test_a_node_that_somebody_deletes_is_cordoned_before_it_is_drained(ready_world: World) -> None:
    ready_world.add_pod()
    (node,) = ready_world.nodes()
    before = len(ready_world.writes)
    ready_world.admin.delete(NODES, node["metadata"]["name"])
    assert ready_world.run(900, ready_world.is_gone)
    ours = [w for w in ready_world.writes[before:] if w.startswith(("patch nodes", "evict"))]
    assert [w.split()[0] for w in ours[:2]] == ["patch", "evict"]
    assert check(ready_world) == []


def statuses_after_deletion(world: World) -> int:
    before = len(world.writes)
    world.delete_machine()
    assert world.run(900, world.is_gone)
    return sum(write.startswith("patch machines/status") for write in world.writes[before:])


def test_pods_that_leave_within_a_moment_cost_no_status_of_their_own(ready_world: World) -> None:
    ready_world.add_pod()
    assert statuses_after_deletion(ready_world) == 1
    assert [reason for _, reason, _ in ready_world.events if reason in (reasons.DRAINING, reasons.POOL_DELETING)] == [
        reasons.POOL_DELETING
    ]


def test_a_disruption_budget_holds_the_drain_and_is_named(ready_world: World) -> None:
    ready_world.add_pod()
    ready_world.server.blocked_by_budget.add("default/model-0")
    ready_world.delete_machine()
    assert ready_world.run(120, lambda: "default/model-0" in ready_world.condition("Ready").get("message", ""))
    ready_world.run(3600, step_s=10)
    assert ready_world.condition("Ready")["reason"] == reasons.DRAINING
    assert ready_world.nodes()[0]["spec"]["unschedulable"] is True
    assert len(ready_world.pools()) == 1
    ready_world.server.blocked_by_budget.clear()
    assert ready_world.run(900, ready_world.is_gone)
    assert check(ready_world) == []


def test_a_drain_limit_ends_the_wait_when_one_is_set() -> None:
    world = World(drain_timeout_s=300)
    world.create_machine()
    assert world.run(600, world.is_ready)
    world.add_pod()
    world.server.blocked_by_budget.add("default/model-0")
    world.delete_machine()
    assert world.run(900, world.is_gone)


def test_critical_pods_leave_last(ready_world: World) -> None:
    ready_world.add_pod("ordinary")
    ready_world.add_pod("critical", priorityClassName="system-cluster-critical")
    ready_world.delete_machine()
    assert ready_world.run(900, ready_world.is_gone)
    evictions = [write for write in ready_world.writes if write.startswith("evict")]
    assert evictions == ["evict ordinary", "evict critical"]


def test_daemonset_static_finished_and_tolerating_pods_are_left_alone(ready_world: World) -> None:
    tolerates = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]
    ready_world.add_pod("tolerant", tolerations=tolerates)
    ready_world.delete_machine()
    assert ready_world.run(900, ready_world.is_gone)
    assert not any(write.startswith("evict") for write in ready_world.writes)


def test_a_pod_that_no_kubelet_ends_does_not_hold_the_drain_for_ever(ready_world: World) -> None:
    ready_world.add_pod()
    ready_world.host.kubelets_hang = True
    ready_world.delete_machine()
    assert ready_world.run(600, ready_world.is_gone)


def test_deleting_twice_is_deleting_once(ready_world: World) -> None:
    ready_world.delete_machine()
    ready_world.run(30)
    ready_world.delete_machine()
    assert ready_world.run(600, ready_world.is_gone)
    assert [w for w in ready_world.writes if w.startswith("arm delete")] == ["arm delete ws012345678"]
    assert check(ready_world) == []


def test_delete_during_create_waits_for_azure_and_leaves_nothing() -> None:
    world = World()
    world.create_machine()
    world.run(60)
    world.delete_machine()
    world.run(60)
    assert world.condition("Ready")["reason"] == reasons.POOL_DELETING
    assert world.run(900, world.is_gone)
    assert world.nodes() == []
    assert check(world) == []


def test_delete_before_anything_was_ordered_needs_no_pool_delete() -> None:
    world = World()
    world.cloud.set_quota(families={"standardNCSv3Family": 0})
    world.create_machine()
    world.run(20)
    world.delete_machine()
    assert world.run(60, world.is_gone)
    assert not any(w.startswith("arm delete") for w in world.writes)


def test_delete_and_recreate_with_the_same_name_at_once(ready_world: World) -> None:
    old = ready_world.machine()["metadata"]["uid"]
    ready_world.delete_machine()
    assert ready_world.run(900, ready_world.is_gone)
    ready_world.create_machine()
    assert ready_world.run(600, ready_world.is_ready)
    assert ready_world.machine()["metadata"]["uid"] != old
    assert len(ready_world.orders) == 2
    assert check(ready_world) == []


def test_a_pool_delete_that_hangs_keeps_the_finalizer(ready_world: World) -> None:
    ready_world.cloud.script(Script(Outcome.HANG, operation="delete"))
    ready_world.delete_machine()
    ready_world.run(3600, step_s=10)
    assert ready_world.machine()["metadata"]["finalizers"] == ["karpenter.sh/termination"]
    ready_world.cloud.release("ws012345678")
    assert ready_world.run(600, ready_world.is_gone)
    assert check(ready_world) == []


def test_a_pool_delete_that_fails_is_tried_again(ready_world: World) -> None:
    ready_world.cloud.script(Script(Outcome.FAIL, operation="delete", error="internal"))
    ready_world.delete_machine()
    assert ready_world.run(1200, ready_world.is_gone)
    assert check(ready_world) == []


def test_a_refused_pool_delete_shows_azures_words(ready_world: World) -> None:
    ready_world.cloud.script(Script(Outcome.REFUSE, operation="delete", error="authorization_failed", times=0))
    ready_world.delete_machine()
    assert ready_world.run(60, lambda: "AuthorizationFailed" in ready_world.condition("Ready").get("message", ""))
    ready_world.cloud.clear_scripts()
    assert ready_world.run(600, ready_world.is_gone)


def test_a_finalizer_of_somebody_else_is_left_in_place(ready_world: World) -> None:
    finalizers = ["karpenter.sh/termination", "example.com/keep"]
    ready_world.admin.patch(MACHINES, "ws012345678", {"metadata": {"finalizers": finalizers}})
    ready_world.delete_machine()
    ready_world.run(600)
    assert ready_world.machine()["metadata"]["finalizers"] == ["example.com/keep"]
    assert ready_world.pools() == {}


def test_nodes_that_belong_to_others_survive_the_deletion(ready_world: World) -> None:
    stranger = {"metadata": {"name": "stranger", "labels": {"agentpool": "ws012345678"}}}
    ready_world.admin.create(NODES, stranger)
    ready_world.delete_machine()
    assert ready_world.run(900, ready_world.is_gone)
    assert ready_world.admin.get(NODES, "stranger")
