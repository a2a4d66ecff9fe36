"""Each way in which Azure says no: what the Machine then shows, and what happens next."""

from __future__ import annotations

import pytest

from gpu_provisioner.api import reasons
from gpu_provisioner.api.conditions import ALL_TYPES_UNAVAILABLE
from gpu_provisioner.cloud.azure.errors import classify
from hack.localcluster.cloud.model import Outcome, Script
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults

REFUSED = [
    ("family_quota", reasons.QUOTA_EXCEEDED, "ErrCode_InsufficientVCPUQuota", "more cores of"),
    ("compute_family_quota", reasons.QUOTA_EXCEEDED, "OperationNotAllowed", "more cores of"),
    ("sku_not_allowed", reasons.INSTANCE_TYPE_NOT_OFFERED, "BadRequest", "instance type that is offered"),
    ("sku_not_available", reasons.INSTANCE_TYPE_NOT_OFFERED, "SkuNotAvailable", "instance type that is offered"),
    ("allocation_failed", reasons.INSUFFICIENT_CAPACITY, "AllocationFailed", "out of these machines"),
    ("zonal_allocation_failed", reasons.INSUFFICIENT_CAPACITY, "ZonalAllocationFailed", "out of these machines"),
    ("overconstrained", reasons.INSUFFICIENT_CAPACITY, "OverconstrainedAllocationRequest", "out of these machines"),
    ("busy", reasons.CLOUD_BUSY, "OperationNotAllowed", "other operation"),
    ("invalid_parameter", reasons.INVALID_MACHINE, "InvalidParameter", "Correct the named value"),
    ("authorization_failed", reasons.CLOUD_ACCESS_DENIED, "AuthorizationFailed", "agentPools/read"),
    ("cluster_not_found", reasons.CLOUD_ACCESS_DENIED, "ResourceNotFound", "cluster name"),
    ("throttled", reasons.CLOUD_THROTTLED, "SubscriptionRequestsThrottled", "as long as Azure asks"),
    ("internal", reasons.LAUNCH_FAILED, "InternalOperationError", "Retried with backoff"),
]


def refuse(world: World, error: str, *, times: int = 0, outcome: Outcome = Outcome.REFUSE) -> None:
    world.cloud.script(Script(outcome, error=error, times=times))


@pytest.mark.parametrize(("error", "reason", "code", "cure"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_refused_order_shows_reason_code_and_cure_and_goes_on_once_azure_agrees(
    error: str, reason: str, code: str, cure: str
) -> None:
    world = World()
    refuse(world, error)
    world.create_machine()
    assert world.run(60, lambda: world.condition("MachineLaunched").get("reason") == reason), world.machine()
    ready = world.condition("Ready")
    assert ready["reason"] == reason
    for text in (world.condition("MachineLaunched")["message"], ready["message"]):
        assert code in text
        assert cure in text
    assert world.condition("MachineInitialized")["status"] == "False"
    assert any(r == reason and code in note and t == "Warning" for t, r, note in world.events)
    assert len([call for call in world.azure_calls if " put " in call]) <= 8

    world.cloud.clear_scripts()
    assert world.run(850, world.is_ready), world.machine()
    assert check(world) == []


FAILED = [row for row in REFUSED if row[0] not in ("throttled", "authorization_failed", "cluster_not_found", "busy")]
FAILED += [
    ("etag_not_expected", reasons.POOL_CONFLICT, "OriginalEtagNotExpect", "who else edits"),
    ("preempted", reasons.POOL_CONFLICT, "ResourceOperationFailure", "who else edits"),
]


@pytest.mark.parametrize(("error", "reason", "code", "cure"), FAILED, ids=[row[0] for row in FAILED])
def test_a_pool_that_fails_while_it_is_made_is_reported_removed_and_ordered_again(
    error: str, reason: str, code: str, cure: str
) -> None:
    world = World()
    refuse(world, error, times=1, outcome=Outcome.FAIL)
    world.create_machine()
    assert world.run(400, lambda: world.condition("MachineLaunched").get("reason") == reason, step_s=2), world.machine()
    assert code in world.condition("Ready")["message"]
    assert cure in world.condition("Ready")["message"]
    assert world.run(3000, world.is_ready, step_s=5), world.machine()
    assert check(world) == []


def test_quota_message_names_family_region_and_missing_cores() -> None:
    world = World()
    world.cloud.set_quota(families={"standardNCSv3Family": 8})
    world.create_machine()
    world.run(60)
    message = world.condition("Ready")["message"]
    assert "standardNCSv3Family" in message
    assert "eastus" in message
    assert "at least" in message


def test_quota_refused_then_granted_converges_without_help() -> None:
    world = World()
    world.cloud.set_quota(families={"standardNCSv3Family": 0})
    world.create_machine()
    assert world.run(100, lambda: world.condition("Ready").get("reason") == reasons.QUOTA_EXCEEDED)
    world.cloud.set_quota()
    assert world.run(900, world.is_ready), world.machine()
    assert len(world.orders) == 1
    assert check(world) == []


def test_the_next_instance_type_is_tried_at_once_when_the_first_is_not_offered() -> None:
    world = World()
    world.cloud.set_stock("Standard_NC6s_v3", "not_allowed")
    world.create_machine(instance_types=["Standard_NC6s_v3", "Standard_NC12s_v3"])
    world.run(5)
    assert [kind for _, _, kind in world.orders] == ["Standard_NC12s_v3"]
    assert world.run(600, world.is_ready)


def test_instance_types_are_tried_in_the_order_given() -> None:
    world = World()
    world.create_machine(instance_types=["Standard_NC24s_v3", "Standard_NC6s_v3", "Standard_NC12s_v3"])
    world.run(5)
    assert [kind for _, _, kind in world.orders] == ["Standard_NC24s_v3"]


def test_a_refused_type_is_remembered_for_other_machines_and_says_so_literally_within_a_second() -> None:
    world = World()
    world.cloud.set_stock("Standard_NC12s_v3", "not_allowed")
    world.create_machine("ws000000001")
    world.run(5)
    calls = len([c for c in world.azure_calls if " put " in c])
    world.create_machine("ws000000002")
    world.run(1)
    launched = world.condition("MachineLaunched", "ws000000002")
    assert (launched["status"], launched["message"]) == ("False", ALL_TYPES_UNAVAILABLE)
    assert "is not allowed in your subscription" in world.condition("Ready", "ws000000002")["message"]
    assert len([c for c in world.azure_calls if " put " in c]) == calls


def test_an_order_that_somebody_asked_for_again_is_put_to_the_cloud_whatever_is_remembered() -> None:
    """Once: what the cloud answers to it is remembered as always."""
    world = World()
    world.cloud.set_stock("Standard_NC12s_v3", "not_allowed")
    world.create_machine("ws000000001")
    world.run(5)
    calls = len([c for c in world.azure_calls if " put " in c])

    world.create_machine("ws000000002", annotations={"kaito.sh/ask-again": "1"})
    world.run(60)
    assert len([c for c in world.azure_calls if " put " in c]) == calls + 1
    assert "is not allowed in your subscription" in world.condition("Ready", "ws000000002")["message"]

    world.cloud.set_stock("Standard_NC12s_v3", "available")
    world.create_machine("ws000000003")
    world.create_machine("ws000000004", annotations={"kaito.sh/ask-again": "2"})
    assert world.run(300, lambda: world.is_ready("ws000000004"))
    assert world.condition("MachineLaunched", "ws000000003")["message"] == ALL_TYPES_UNAVAILABLE


def test_a_refused_type_is_asked_for_again_after_some_minutes() -> None:
    world = World()
    world.cloud.set_stock("Standard_NC12s_v3", "not_allowed")
    world.create_machine()
    world.run(60)
    world.cloud.set_stock("Standard_NC12s_v3", "available")
    assert world.run(880, world.is_ready)


def test_throttling_of_one_machine_silences_all_for_as_long_as_azure_asks() -> None:
    world = World()
    for number in range(5):
        world.create_machine(f"ws00000000{number}")
    world.azure_down = classify(429, "TooManyRequests", "slow down", retry_after_s=120)
    world.run(100)
    assert len([call for call in world.azure_calls if int(call.split()[0]) > 1000]) == 0
    assert len(world.azure_calls) <= 2
    world.azure_down = None
    names = [f"ws00000000{number}" for number in range(5)]
    assert world.run(700, lambda: all(world.is_ready(name) for name in names))
    assert check(world) == []


def test_azure_down_for_ten_minutes_is_survived_by_creation_and_deletion() -> None:
    world = World()
    world.create_machine("ws000000001")
    assert world.run(400, lambda: world.is_ready("ws000000001"))
    world.azure_down = classify(503, "ServiceUnavailable", "the service is down")
    world.create_machine("ws000000002")
    world.delete_machine("ws000000001")
    before = len(world.azure_calls)
    world.run(600, step_s=2)
    assert len(world.azure_calls) - before < 60
    assert not world.is_gone("ws000000001")
    assert world.condition("Ready", "ws000000002")["status"] == "False"
    world.azure_down = None
    assert world.run(700, lambda: world.is_ready("ws000000002") and world.is_gone("ws000000001")), world.machine(
        "ws000000002"
    )
    assert check(world) == []


def test_an_outage_does_not_spend_the_launch_limit_on_verdicts() -> None:
    world = World()
    world.azure_down = classify(None, "", "connection refused")
    world.create_machine()
    world.run(2000, step_s=10)
    assert not world.is_gone()
    assert world.condition("Ready")["reason"] == reasons.LAUNCH_FAILED


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"requirements": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["moon"]}]},
            "zone 'moon'",
        ),
        ({"resources": {"requests": {"storage": "9000Gi"}}}, "storage"),
        ({"annotations": {"kaito.sh/gpu-driver": "maybe"}}, "kaito.sh/gpu-driver"),
        ({"name": "much-too-long-a-name"}, "much-too-long-a-name"),
    ],
    ids=["zone", "storage", "annotation", "name"],
)
def test_an_impossible_machine_is_refused_before_azure_is_asked(change: dict, words: str) -> None:
    world = World()
    name = change.pop("name", "ws012345678")
    world.create_machine(name, **change)
    world.run(30)
    launched = world.condition("MachineLaunched", name)
    assert launched["reason"] == reasons.INVALID_MACHINE
    assert words in launched["message"]
    assert not any(name in call for call in world.azure_calls)


def test_no_instance_type_is_named_as_the_missing_field() -> None:
    world = World()
    world.create_machine(instance_types=[])
    world.run(10)
    assert "node.kubernetes.io/instance-type" in world.condition("Ready")["message"]
    assert world.orders == []
