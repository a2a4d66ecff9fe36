"""The adapter against localcluster's cloud over real HTTP, with the real Azure libraries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.azure.agent_pools import AzureAgentPools
from gpu_provisioner.cloud.azure.options import AzureOptions
from hack.localcluster.cloud import AksCloud
from hack.localcluster.cloud.model import Outcome, Script
from hack.localcluster.faults import Fault, FaultKind, FaultPlan, Rule
from hack.localcluster.timeline import Timeline
from test.support.processes import wait_until

SPEC = port.PoolSpec("wsadapter01", "Standard_NC12s_v3", tags={"kaito-machine-uid": "u"}, node_labels={"a": "b"})


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def cloud(plan: FaultPlan) -> Iterator[AksCloud]:
    timeline = Timeline(1000.0)
    timeline.start()
    cloud = AksCloud(plan, timeline=timeline, page_size=2)
    cloud.add_canaries()
    with cloud:
        yield cloud
    timeline.stop()


@pytest.fixture
def pools(cloud: AksCloud) -> Iterator[AzureAgentPools]:
    identity = cloud.identity
    options = AzureOptions(
        identity.subscription_id,
        identity.resource_group,
        identity.cluster_name,
        credential="none",
        arm_endpoint=cloud.url,
        read_timeout_s=1.0,
    )
    adapter = AzureAgentPools(options)
    yield adapter
    adapter.close()


def puts(cloud: AksCloud) -> list[object]:
    return [call for call in cloud.server.calls if call.method == "PUT"]


def test_create_sends_everything_once_and_returns_at_once(cloud: AksCloud, pools: AzureAgentPools) -> None:
    cloud.pools.script(Script(Outcome.HANG))
    spec = port.PoolSpec(
        "wsadapter01",
        "Standard_NC12s_v3",
        node_labels={"kaito.sh/workspace": "w"},
        node_taints=("sku=gpu:NoSchedule",),
        tags={"kaito-machine-uid": "u"},
        os_disk_size_gib=200,
        capacity_type=port.SPOT,
        zones=("1", "2"),
        image_family="AzureLinux",
        gpu_driver="Install",
        gpu_instance_profile="MIG1g",
    )
    created = pools.create(spec)
    assert created.provisioning_state == "Creating"
    assert created.tags == {"kaito-machine-uid": "u"}
    (call,) = puts(cloud)
    sent = call.body["properties"]  # type: ignore[attr-defined]
    assert sent["count"] == 1
    assert (sent["vmSize"], sent["osDiskSizeGB"], sent["osSKU"]) == ("Standard_NC12s_v3", 200, "AzureLinux")
    assert (sent["scaleSetPriority"], sent["availabilityZones"]) == ("Spot", ["1", "2"])
    assert (sent["gpuInstanceProfile"], sent["gpuProfile"]) == ("MIG1g", {"driver": "Install"})
    assert sent["nodeTaints"] == ["sku=gpu:NoSchedule"]


def test_what_is_left_open_is_not_sent(cloud: AksCloud, pools: AzureAgentPools) -> None:
    pools.create(SPEC)
    sent = puts(cloud)[0].body["properties"]  # type: ignore[attr-defined]
    assert not {"osDiskSizeGB", "scaleSetPriority", "availabilityZones", "vnetSubnetID", "osSKU"} & set(sent)


@pytest.mark.parametrize("name", ["systempool", "userpool"])
def test_create_never_changes_a_pool_that_exists(cloud: AksCloud, pools: AzureAgentPools, name: str) -> None:
    before = cloud.pools.get(name)
    with pytest.raises(port.AlreadyThere):
        pools.create(port.PoolSpec(name, "Standard_NC12s_v3"))
    assert cloud.pools.get(name) == before


def test_words_that_the_library_makes_enums_of_come_out_as_azures_words(
    cloud: AksCloud, pools: AzureAgentPools
) -> None:
    cloud.pools.set_power("userpool", "Stopped")
    assert pools.get("systempool").mode == "System"
    assert (pools.get("userpool").power_state, pools.get("userpool").is_running) == ("Stopped", False)


def test_list_follows_all_pages(cloud: AksCloud, pools: AzureAgentPools) -> None:
    for number in range(5):
        cloud.pools.add_canary(f"extra{number}")
    assert len(pools.list()) == 7


def test_a_failed_page_is_an_error_and_not_a_short_list(
    plan: FaultPlan, cloud: AksCloud, pools: AzureAgentPools
) -> None:
    cloud.pools.add_canary("extra")
    plan.add(Rule(Fault(FaultKind.STATUS, code=500), server="arm", verb="list", nth=2))
    with pytest.raises(port.Unknown):
        pools.list()


def test_delete_is_bound_to_the_version_that_was_read(cloud: AksCloud, pools: AzureAgentPools) -> None:
    seen = pools.get("userpool")
    with pytest.raises(port.ConflictingWriter):
        pools.delete("userpool", etag="other")
    pools.delete("userpool", etag=seen.etag)
    assert cloud.pools.get("userpool")["properties"]["provisioningState"] == "Deleting"


def test_a_missing_pool_is_not_found_and_deleting_it_is_fine(pools: AzureAgentPools) -> None:
    with pytest.raises(port.PoolNotFound):
        pools.get("nothing")
    pools.delete("nothing")


def test_a_missing_cluster_is_a_wrong_setting_and_not_a_missing_pool(cloud: AksCloud) -> None:
    options = AzureOptions(cloud.identity.subscription_id, "wrong", "wrong", credential="none", arm_endpoint=cloud.url)
    adapter = AzureAgentPools(options)
    with pytest.raises(port.Auth, match="cluster name"):
        adapter.get("systempool")
    adapter.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.STATUS, code=429, reason="TooManyRequests", retry_after_s=7), port.Throttled),
        (Fault(FaultKind.STATUS, code=500), port.Unknown),
        (Fault(FaultKind.STATUS, code=503), port.Unknown),
        (Fault(FaultKind.STATUS, code=403, reason="AuthorizationFailed"), port.Auth),
        (Fault(FaultKind.DROP_BEFORE_COMMIT), port.Unknown),
        (Fault(FaultKind.COMMIT_THEN_DROP), port.Unknown),
        (Fault(FaultKind.BLACK_HOLE, seconds=3), port.Unknown),
    ],
    ids=["429", "500", "503", "403", "dropped", "reply-lost", "black-hole"],
)
def test_a_broken_create_is_sent_once_and_told_as_what_it_is(
    plan: FaultPlan, cloud: AksCloud, pools: AzureAgentPools, fault: Fault, kind: type[port.CloudError]
) -> None:
    plan.add(Rule(fault, server="arm", verb="create_or_update"))
    with pytest.raises(kind) as raised:
        pools.create(SPEC)
    assert type(raised.value) is kind
    assert len(puts(cloud)) <= 1
    if kind is port.Throttled:
        assert raised.value.retry_after_s == 7


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE, FaultKind.GARBAGE])
def test_an_unreadable_reply_to_a_read_is_an_error_of_the_port(
    plan: FaultPlan, pools: AzureAgentPools, kind: FaultKind
) -> None:
    plan.add(Rule(Fault(kind), server="arm", verb="get"))
    with pytest.raises(port.Unknown):
        pools.get("systempool")


def test_an_unreadable_reply_to_a_create_is_no_crash_and_the_pool_is_there(
    plan: FaultPlan, cloud: AksCloud, pools: AzureAgentPools
) -> None:
    plan.add(Rule(Fault(FaultKind.TRUNCATE), server="arm", verb="create_or_update"))
    with pytest.raises(port.Unknown):
        pools.create(SPEC)
    assert cloud.pools.get(SPEC.name)["name"] == SPEC.name


def test_why_a_pool_failed_is_read_from_the_pool_itself(cloud: AksCloud, pools: AzureAgentPools) -> None:
    cloud.pools.script(Script(Outcome.FAIL, error="sku_not_available", after_s=0))
    pools.create(SPEC)
    wait_until(lambda: pools.get(SPEC.name).has_failed, what="the pool to fail")
    error = pools.get(SPEC.name).error
    assert error is not None
    assert error.is_a(port.SkuNotOffered)
    assert error.code == "SkuNotAvailable"


@pytest.mark.parametrize(
    "body",
    ["null", "5", "[]", '{"name": 5, "properties": {"nodeLabels": 5}}', '{"properties": {"status": "x"}}', '"\\ud800"'],
)
def test_a_reply_that_is_json_and_no_pool_is_no_usable_reply(
    plan: FaultPlan, pools: AzureAgentPools, body: str
) -> None:
    plan.add(Rule(Fault(FaultKind.BODY, message=body), resource="agentPools"))
    with pytest.raises(port.Unknown):
        pools.get(SPEC.name)


def test_a_reply_about_another_pool_is_no_usable_reply(plan: FaultPlan, pools: AzureAgentPools) -> None:
    other = '{"name": "other", "properties": {"provisioningState": "Succeeded"}}'
    plan.add(Rule(Fault(FaultKind.BODY, message=other), resource="agentPools"))
    with pytest.raises(port.Unknown, match="is about 'other'"):
        pools.get(SPEC.name)


@pytest.mark.parametrize("body", ["null", '{"value": null}', '{"value": [null]}', '{"value": [{"properties": 5}]}'])
def test_a_list_that_holds_what_is_no_pool_is_no_answer(plan: FaultPlan, pools: AzureAgentPools, body: str) -> None:
    plan.add(Rule(Fault(FaultKind.BODY, message=body), resource="agentPools"))
    with pytest.raises(port.CloudError):
        pools.list()


def test_an_accepted_order_whose_reply_is_no_pool_counts_as_made(plan: FaultPlan, pools: AzureAgentPools) -> None:
    plan.add(Rule(Fault(FaultKind.BODY, message='{"properties": 5}'), resource="agentPools", verb="create_or_update"))
    assert pools.create(SPEC).name == SPEC.name
    assert pools.get(SPEC.name).instance_type == SPEC.instance_type
