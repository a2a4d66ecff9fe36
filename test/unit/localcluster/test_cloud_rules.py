"""Timers, budgets, sizes and scripts of the cloud, stepped with a clock that stands still."""

from __future__ import annotations

from typing import Any

import pytest

from hack.localcluster.actors.nodeshape import aks_labels
from hack.localcluster.cloud import AksCloud, CloudIdentity, Outcome, Script, VirtualMachine
from hack.localcluster.cloud.errors import NAMED, ArmError, Place
from hack.localcluster.cloud.market import Market, Stock
from hack.localcluster.cloud.model import ScriptError
from hack.localcluster.cloud.pools import AgentPools
from hack.localcluster.cloud.throttle import Throttle
from hack.localcluster.cloud.validation import parse_taint
from hack.localcluster.cloud.vm_sizes import GPU_SIZES, find_vm_size
from hack.localcluster.durations import Durations
from hack.localcluster.fromjson import read_as
from hack.localcluster.timeline import Timeline
from test.support.fake_clock import FakeClock


class Host:
    """Notes which VMs were booted, announced and shut down."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.booted: list[VirtualMachine] = []
        self.announced: list[str] = []

    def boot(self, vm: VirtualMachine) -> None:
        self.running.append(vm.node_name)
        self.booted.append(vm)

    def announce(self, vm: VirtualMachine) -> None:
        self.announced.append(vm.node_name)

    def shut_down(self, vm: VirtualMachine) -> None:
        self.running.remove(vm.node_name)


class World:
    """Agent pools whose time moves only by `pass_time`."""

    def __init__(self, time_scale: float = 1.0) -> None:
        self.clock = FakeClock()
        self.timeline = Timeline(time_scale, self.clock)
        self.host = Host()
        self.pools = AgentPools(
            CloudIdentity(), self.timeline, Durations(pool_create_s=100, pool_delete_s=50), self.host
        )

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.timeline.run_due()

    def put(self, name: str = "poola", **properties: Any) -> None:
        self.pools.put(name, {"vmSize": "Standard_NC6s_v3", "count": 1, **properties})

    def state(self, name: str = "poola") -> str:
        return str(self.pools.get(name)["properties"]["provisioningState"])


# ---- timeline


def test_timers_fire_in_order_and_scaled() -> None:
    clock = FakeClock()
    timeline, fired = Timeline(10, clock), []
    timeline.after(100, lambda: fired.append("late"))
    timeline.after(50, lambda: fired.append("early"))
    cancelled = timeline.after(60, lambda: fired.append("never"))
    timeline.cancel(cancelled)
    clock.advance(4.9)
    timeline.run_due()
    assert fired == []
    clock.advance(5.1)
    timeline.run_due()
    assert fired == ["early", "late"]


def test_timer_that_fails_does_not_stop_the_others() -> None:
    clock = FakeClock()
    timeline, fired = Timeline(1, clock), []
    timeline.after(0, lambda: 1 / 0)
    timeline.after(0, lambda: fired.append("next"))
    timeline.run_due()
    assert fired == ["next"]


def test_time_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="time_scale=0"):
        Timeline(0)


# ---- operations


def test_pool_takes_its_time_and_boots_its_vm_at_the_end() -> None:
    world = World(time_scale=10)
    world.put()
    world.pass_time(9.9)
    assert (world.state(), world.host.running) == ("Creating", [])
    world.pass_time(0.1)
    assert world.state() == "Succeeded"
    assert len(world.host.running) == 1
    world.pools.delete("poola")
    world.pass_time(5)
    assert world.host.running == []


def test_node_may_join_before_the_operation_ends_or_not_at_all() -> None:
    world = World()
    world.pools.script(Script(Outcome.EARLY_NODE, pool="early"))
    world.pools.script(Script(Outcome.NO_NODE, pool="silent"))
    world.put("early")
    world.put("silent")
    world.pass_time(50)
    assert [name.split("-")[1] for name in world.host.running] == ["early"]
    world.pass_time(50)
    assert [name.split("-")[1] for name in world.host.running] == ["early"]
    assert world.state("silent") == "Succeeded"


def test_vanishing_pool_takes_its_vm_along() -> None:
    world = World()
    world.pools.script(Script(Outcome.VANISH, after_s=10))
    world.put()
    world.pass_time(10)
    assert world.host.running != []
    world.pass_time(10)
    assert world.host.running == []
    with pytest.raises(ArmError):
        world.pools.get("poola")


def test_script_serves_as_often_as_it_says_and_only_for_what_it_matches() -> None:
    world = World()
    world.pools.script(Script(Outcome.FAIL, error="allocation_failed", vm_size="*_v3", times=2))
    for name in ("poola", "poolb", "poolc"):
        world.put(name)
    world.put("poold", vmSize="Standard_D4s_v5")
    world.pass_time(100)
    assert [world.state(name) for name in ("poola", "poolb", "poolc", "poold")] == [
        "Failed",
        "Failed",
        "Succeeded",
        "Succeeded",
    ]


def test_failed_pool_tells_why_and_can_be_tried_again() -> None:
    world = World()
    world.pools.script(Script(Outcome.FAIL, error="allocation_failed"))
    world.put()
    world.pass_time(100)
    assert world.pools.get("poola")["properties"]["status"]["provisioningError"]["code"] == "AllocationFailed"
    world.put()
    world.pass_time(100)
    assert world.state() == "Succeeded"
    assert "status" not in world.pools.get("poola")["properties"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"outcome": Outcome.FAIL}, "needs an `error` name"),
        ({"outcome": Outcome.REFUSE, "error": "gremlins"}, "'gremlins' is unknown"),
        ({"outcome": Outcome.HANG, "operation": "explode"}, "'explode'"),
    ],
)
def test_script_that_cannot_be_carried_out_is_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises((ScriptError, ValueError), match=named):
        Script(**arguments)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"outcome": "explode"}, "outcome: 'explode'"),
        ({"outcome": "hang", "times": "many"}, "times: 'many'"),
        ({"outcome": "hang", "pools": "a"}, "pools: 'a': Unexpected"),
        ({"outcome": "fail"}, "needs an `error` name"),
        ([], "should be a dictionary"),
    ],
)
def test_script_from_json_is_refused_with_field_and_value(data: Any, named: str) -> None:
    with pytest.raises(ScriptError, match=named):
        read_as(Script, data, ScriptError)


def test_script_from_json_is_as_good_as_one_of_our_own() -> None:
    assert read_as(Script, {"outcome": "hang", "pool": "a*"}, ScriptError) == Script(Outcome.HANG, pool="a*")


def test_every_named_error_can_be_built_and_has_code_and_message() -> None:
    at = Place("sub", "rg", "c", "eastus", "poola", "Standard_NC6s_v3", "standardNCSv3Family", 6, 10, 8)
    for name, build in NAMED.items():
        error = build(at)
        assert 400 <= error.status < 600, name
        assert error.code, name
        assert error.message, name


# ---- quota


def test_scaling_within_held_cores_needs_no_quota() -> None:
    world = World()
    world.put()
    world.pass_time(100)
    world.pools.set_quota(families={"standardNCSv3Family": 6})
    world.put(nodeLabels={"a": "b"})
    with pytest.raises(ArmError, match="ErrCode_InsufficientVCPUQuota"):
        world.put("poolb")


def test_failed_pools_hold_no_cores() -> None:
    world = World()
    world.pools.set_quota(regional=6)
    world.pools.script(Script(Outcome.FAIL, error="internal"))
    world.put()
    world.pass_time(100)
    world.put("poolb")
    world.pass_time(100)
    assert world.state("poolb") == "Succeeded"


def test_market_survives_the_way_through_json() -> None:
    market = Market(100, {"f": 10}, {"standard_nc6s_v3": Stock.NO_CAPACITY})
    assert Market.from_json(market.to_json()) == market


# ---- throttle


def test_bucket_runs_dry_and_refills() -> None:
    clock = FakeClock()
    throttle = Throttle(clock)
    throttle.limit("writes", burst=2, window_s=60)
    assert [throttle.take("writes") for _ in range(3)] == [(1, None), (0, None), (0, 30.0)]
    clock.advance(30)
    assert throttle.take("writes") == (0, None)
    assert throttle.take("reads")[1] is None


# ---- sizes, taints, settings


def test_gpu_sizes_have_gpus_and_general_ones_follow_their_name() -> None:
    sizes = [find_vm_size(size.name) for size in GPU_SIZES.values()]
    assert all(size is not None and size.gpus > 0 for size in sizes)
    general = find_vm_size("standard_d8s_v5")
    assert general is not None
    assert (general.cores, general.memory_gib, general.gpus) == (8, 32, 0)
    assert find_vm_size("Standard_Imaginary") is None


def test_size_names_are_case_insensitive() -> None:
    assert find_vm_size("STANDARD_nc6S_v3") == find_vm_size("Standard_NC6s_v3")


def test_taints_are_read_with_and_without_value() -> None:
    assert parse_taint("sku=gpu:NoSchedule") == {"key": "sku", "value": "gpu", "effect": "NoSchedule"}
    assert parse_taint("dedicated:NoExecute") == {"key": "dedicated", "effect": "NoExecute"}
    with pytest.raises(ValueError, match="sku"):
        parse_taint("sku")


def test_environment_names_everything_a_provisioner_needs() -> None:
    cloud = AksCloud()
    try:
        assert cloud.environment["ARM_ENDPOINT"] == cloud.url
        assert all(cloud.environment.values())
    finally:
        cloud.stop()


@pytest.mark.parametrize(("zones", "named"), [(["2"], "eastus-2"), ([], "0")])
def test_nodes_of_a_pool_name_its_zone_as_azure_does(zones: list[str], named: str) -> None:
    world = World()
    world.put(availabilityZones=zones)
    world.pass_time(100)

    (vm,) = world.host.booted
    labels = aks_labels(vm, world.pools.identity)
    assert {labels[key] for key in labels if key.endswith("/zone")} == {named}


def test_spot_pool_gets_label_taint_and_policy_of_aks_and_is_taken_back() -> None:
    world = World()
    world.put(scaleSetPriority="Spot", nodeTaints=["sku=gpu:NoSchedule"])
    world.pass_time(100)
    found = world.pools.get("poola")["properties"]
    assert found["nodeLabels"] == {"kubernetes.azure.com/scalesetpriority": "spot"}
    assert found["nodeTaints"] == ["sku=gpu:NoSchedule", "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"]
    assert (found["scaleSetEvictionPolicy"], found["spotMaxPrice"]) == ("Delete", -1)

    assert world.pools.evict("poola", notice_s=30)
    assert world.host.announced == world.host.running
    world.pass_time(29)
    assert world.host.running
    world.pass_time(1)

    assert world.host.running == []
    assert world.state() == "Succeeded"


def test_a_spot_pool_that_is_taken_back_without_notice_announces_nothing() -> None:
    world = World()
    world.put(scaleSetPriority="Spot")
    world.pass_time(100)

    assert world.pools.evict("poola", notice_s=0)
    world.pass_time(1)

    assert (world.host.announced, world.host.running) == ([], [])


def test_the_vms_of_a_restored_pool_are_booted_at_the_host() -> None:
    before, after = World(), World()
    before.put(count=2)
    before.pass_time(100)

    after.pools.restore(before.pools.snapshot())

    assert after.host.running == before.host.running
    assert len(after.host.running) == 2


@pytest.mark.parametrize(
    "properties",
    [
        {"scaleSetPriority": "Cheap"},
        {"scaleSetPriority": "Spot", "mode": "System"},
        {"scaleSetEvictionPolicy": "Delete"},
        {"scaleSetPriority": "Regular", "spotMaxPrice": -1},
    ],
)
def test_what_concerns_spot_needs_a_spot_pool(properties: dict[str, Any]) -> None:
    with pytest.raises(ArmError):
        World().put(**properties)


def test_only_a_spot_pool_is_taken_back() -> None:
    world = World()
    world.put()
    assert not world.pools.evict("poola")
    assert not world.pools.evict("nobody")
