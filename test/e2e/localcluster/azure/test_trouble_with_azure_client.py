"""The real Azure client against the cloud of localcluster: what ends badly, late or never, and replies that are lost or broken."""

from __future__ import annotations

import pytest
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

from hack.localcluster.cloud import SYSTEM_POOL, USER_POOL, AksCloud, Outcome, Script
from hack.localcluster.faults import Fault, FaultKind, FaultPlan, Rule
from hack.localcluster.timeline import Timeline
from test.support.azure import Pools, azure_client, error_of, gpu_pool
from test.support.processes import wait_until

# ---- operations that end badly, late or never


def test_operation_that_fails_shows_the_code_under_status_200(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.script(Script(Outcome.FAIL, code="VMExtensionProvisioningError", message="the driver did not install"))
    with pytest.raises(HttpResponseError, match="the driver did not install") as failed:
        pools.begin_create("poola", gpu_pool()).result()
    assert error_of(failed) == (200, "VMExtensionProvisioningError")
    assert pools.get("poola").provisioning_state == "Failed"


def test_canceled_operation_raises_and_leaves_a_canceled_pool(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.script(Script(Outcome.CANCEL))
    with pytest.raises(HttpResponseError):
        pools.begin_create("poola", gpu_pool()).result()
    assert pools.get("poola").provisioning_state == "Canceled"


def test_deletion_that_hangs_stays_deleting(pools: Pools, cloud: AksCloud) -> None:
    pools.begin_create("poola", gpu_pool()).result()
    cloud.pools.script(Script(Outcome.HANG, operation="delete"))
    poller = pools.begin_delete("poola")
    assert poller.status() == "InProgress"
    with pytest.raises(ResourceExistsError) as again:
        pools.begin_delete("poola")
    assert error_of(again) == (409, "OperationNotAllowed")
    assert pools.get("poola").provisioning_state == "Deleting"
    cloud.pools.release("poola")
    poller.result()


def test_deletion_that_fails_leaves_the_pool_failed(pools: Pools, cloud: AksCloud) -> None:
    pools.begin_create("poola", gpu_pool()).result()
    cloud.pools.script(Script(Outcome.FAIL, operation="delete", error="internal"))
    with pytest.raises(HttpResponseError):
        pools.begin_delete("poola").result()
    assert pools.get("poola").provisioning_state == "Failed"
    pools.begin_delete("poola").result()


def test_pool_removed_behind_the_back_is_not_found(pools: Pools, cloud: AksCloud) -> None:
    pools.begin_create("poola", gpu_pool()).result()
    assert cloud.pools.remove_behind("poola")
    with pytest.raises(ResourceNotFoundError) as missing:
        pools.get("poola")
    assert error_of(missing) == (404, "NotFound")


def test_pool_removed_during_its_creation_fails_the_operation(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.script(Script(Outcome.SLOW, after_s=6000))
    poller = pools.begin_create("poola", gpu_pool())
    cloud.pools.remove_behind("poola")
    with pytest.raises(HttpResponseError) as failed:
        poller.result()
    assert error_of(failed)[1] == "NotFound"


def test_new_pool_that_is_not_visible_at_once(pools: Pools, plan: FaultPlan) -> None:
    plan.add(
        Rule(Fault(FaultKind.STATUS, code=404, reason="NotFound"), server="arm", verb="get", resource="agentPools")
    )
    pools.begin_create("poola", gpu_pool(), polling=False)
    with pytest.raises(ResourceNotFoundError):
        pools.get("poola")
    assert pools.get("poola").name == "poola"


def test_stopped_pool_says_so(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.set_power(USER_POOL, "Stopped")
    assert pools.get(USER_POOL).power_state.code == "Stopped"


# ---- throttling and the network


def test_throttled_request_carries_retry_after_and_the_client_obeys(cloud: AksCloud) -> None:
    cloud.server.throttle.limit("writes", burst=1, window_s=1.0)
    with azure_client(cloud) as impatient:
        Pools(impatient, cloud).begin_create("poola", gpu_pool(), polling=False)
        with pytest.raises(HttpResponseError) as refused:
            Pools(impatient, cloud).begin_create("poolb", gpu_pool(), polling=False)
    assert error_of(refused) == (429, "SubscriptionRequestsThrottled")
    assert refused.value.response is not None
    assert int(refused.value.response.headers["Retry-After"]) >= 1
    assert refused.value.response.headers["x-ms-ratelimit-remaining-subscription-writes"] == "0"
    with azure_client(cloud, retry_total=3) as patient:
        Pools(patient, cloud).begin_create("poold", gpu_pool(), polling=False)


def test_reply_lost_after_the_commit_leaves_the_pool_made(pools: Pools, plan: FaultPlan) -> None:
    lost = plan.add(Rule(Fault(FaultKind.COMMIT_THEN_DROP), server="arm", verb="create_or_update"))
    with pytest.raises(ServiceResponseError):
        pools.begin_create("poola", gpu_pool(), polling=False)
    assert plan.fired(lost) == 1
    assert pools.get("poola").name == "poola"


def test_request_lost_before_the_commit_makes_nothing(pools: Pools, plan: FaultPlan) -> None:
    plan.add(Rule(Fault(FaultKind.DROP_BEFORE_COMMIT), server="arm", verb="create_or_update"))
    with pytest.raises((ServiceResponseError, ServiceRequestError)):
        pools.begin_create("poola", gpu_pool(), polling=False)
    with pytest.raises(ResourceNotFoundError):
        pools.get("poola")


@pytest.mark.parametrize("kind", [FaultKind.TRUNCATE, FaultKind.GARBAGE])
def test_unreadable_reply_is_an_error_not_a_result(pools: Pools, plan: FaultPlan, kind: FaultKind) -> None:
    plan.add(Rule(Fault(kind), server="arm", verb="get"))
    with pytest.raises(AzureError):
        pools.get(USER_POOL)
    assert pools.get(USER_POOL).name == USER_POOL


def test_silent_server_is_left_after_the_read_timeout(cloud: AksCloud, plan: FaultPlan) -> None:
    plan.add(Rule(Fault(FaultKind.BLACK_HOLE, seconds=10), server="arm", verb="get"))
    with azure_client(cloud, read_timeout=0.2) as client, pytest.raises((ServiceResponseError, ServiceRequestError)):
        Pools(client, cloud).get(USER_POOL)
    plan.clear()


def test_error_500_while_polling_is_survived(cloud: AksCloud, plan: FaultPlan) -> None:
    plan.add(Rule(Fault(FaultKind.STATUS, code=500), server="arm", resource="operations", times=2))
    with azure_client(cloud, retry_total=4, retry_backoff_factor=0.01) as client:
        assert Pools(client, cloud).begin_create("poola", gpu_pool()).result().provisioning_state == "Succeeded"


# ---- restarts


def test_cloud_restored_from_a_snapshot_goes_on_with_what_was_under_way(cloud: AksCloud, pools: Pools) -> None:
    pools.begin_create("poola", gpu_pool(), polling=False)
    state = cloud.snapshot()
    timeline = Timeline(time_scale=6000)
    timeline.start()
    with AksCloud(timeline=timeline) as again, azure_client(again) as client:
        again.restore(state)
        restored = Pools(client, again)
        assert {pool.name for pool in restored.list()} == {SYSTEM_POOL, USER_POOL, "poola"}
        wait_until(lambda: restored.get("poola").provisioning_state == "Succeeded")
    timeline.stop()
