"""The real Azure client against the cloud of localcluster: the life of a pool, and what is refused at once."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

from hack.localcluster.cloud import SYSTEM_POOL, USER_POOL, AksCloud, Outcome, Script, Stock
from hack.localcluster.faults import Fault, FaultKind, FaultPlan, Rule
from test.support.azure import SIZE, Pools, azure_client, error_of, gpu_pool
from test.support.processes import wait_until

# ---- the life of a pool


def test_pool_is_created_polled_listed_and_deleted(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.script(Script(Outcome.HANG))
    poller = pools.begin_create("ws012345678", gpu_pool(), match_condition=MatchConditions.IfMissing)
    assert pools.get("ws012345678").provisioning_state == "Creating"
    cloud.pools.release("ws012345678")
    created = poller.result()
    assert (created.provisioning_state, created.power_state.code, created.vm_size) == ("Succeeded", "Running", SIZE)
    assert created.node_labels["kaito.sh/workspace"] == "w"
    assert created.node_taints == ["sku=gpu:NoSchedule"]
    assert created.id.endswith("/agentPools/ws012345678")
    assert {pool.name for pool in pools.list()} == {SYSTEM_POOL, USER_POOL, "ws012345678"}
    pools.begin_delete("ws012345678").result()
    with pytest.raises(ResourceNotFoundError) as missing:
        pools.get("ws012345678")
    assert error_of(missing) == (404, "NotFound")
    assert [c.method for c in cloud.server.calls if c.resource == "agentPools" and c.method != "GET"] == [
        "PUT",
        "DELETE",
    ]


def test_operation_without_polling_shows_its_state_in_the_pool(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.script(Script(Outcome.HANG, operation="*", times=0))
    pools.begin_create("poola", gpu_pool(), polling=False)
    assert pools.get("poola").provisioning_state == "Creating"
    cloud.pools.release("poola")
    wait_until(lambda: pools.get("poola").provisioning_state == "Succeeded")
    pools.begin_delete("poola", polling=False)
    assert pools.get("poola").provisioning_state == "Deleting"


def test_deleting_a_pool_that_is_not_there_succeeds(pools: Pools) -> None:
    assert pools.begin_delete("nosuchpool").result() is None


def test_list_follows_pages(pools: Pools, cloud: AksCloud) -> None:
    for index in range(45):
        cloud.pools.add_canary(f"extra{index}")
    assert len(pools.list()) == 47
    assert [call.method for call in cloud.server.calls] == ["GET"] * 3


def test_a_list_in_pages_misses_a_pool_when_others_leave_in_between(pools: Pools, cloud: AksCloud) -> None:
    for index in range(45):
        cloud.pools.add_canary(f"extra{index:02}")
    pages = pools.pages()
    seen = [pool.name for pool in next(pages)]
    for name in seen[:3]:
        cloud.pools.remove_behind(name)
    seen += [pool.name for page in pages for pool in page]
    missed = {pool["name"] for pool in cloud.pools.list()} - set(seen)
    assert sorted(missed) == ["extra20", "extra21", "extra22"]
    assert all(pools.get(name).name == name for name in missed)


def test_second_page_that_fails_surfaces(pools: Pools, cloud: AksCloud, plan: FaultPlan) -> None:
    for index in range(45):
        cloud.pools.add_canary(f"extra{index}")
    plan.add(Rule(Fault(FaultKind.STATUS, code=503, reason="ServiceUnavailable"), server="arm", verb="list", nth=2))
    with pytest.raises(HttpResponseError) as failed:
        pools.list()
    assert failed.value.status_code == 503


def test_recreated_pool_gets_other_node_names(pools: Pools, cloud: AksCloud) -> None:
    def node_name() -> str:
        pools.begin_create("poola", gpu_pool()).result()
        name = cloud.pools.snapshot()["pools"][-1]["vms"][0]["node_name"]
        pools.begin_delete("poola").result()
        return str(name)

    assert node_name() != node_name()


def test_update_keeps_the_vm_and_changes_the_etag(pools: Pools) -> None:
    before = pools.begin_create("poola", gpu_pool()).result()
    after = pools.begin_create("poola", gpu_pool(node_labels={"a": "b"})).result()
    assert after.e_tag != before.e_tag
    assert after.node_labels == {"a": "b"}


# ---- preconditions


def test_create_only_put_meets_an_existing_pool(pools: Pools) -> None:
    with pytest.raises(ResourceExistsError) as refused:
        pools.begin_create(USER_POOL, gpu_pool(), match_condition=MatchConditions.IfMissing)
    assert error_of(refused) == (412, "PreconditionFailed")


def test_update_with_an_old_etag_is_refused(pools: Pools) -> None:
    pool = pools.begin_create("poola", gpu_pool()).result()
    pools.begin_create("poola", gpu_pool()).result()
    with pytest.raises(ResourceModifiedError) as refused:
        pools.begin_create("poola", gpu_pool(), etag=pool.e_tag, match_condition=MatchConditions.IfNotModified)
    assert error_of(refused) == (412, "PreconditionFailed")


def test_delete_with_an_old_etag_is_refused_and_with_the_right_one_goes_through(pools: Pools) -> None:
    pool = pools.begin_create("poola", gpu_pool()).result()
    with pytest.raises(ResourceModifiedError):
        pools.begin_delete("poola", etag="stale", match_condition=MatchConditions.IfNotModified)
    pools.begin_delete("poola", etag=pool.e_tag, match_condition=MatchConditions.IfNotModified).result()


def test_second_operation_on_a_pool_is_refused_as_busy(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.script(Script(Outcome.HANG))
    pools.begin_create("poola", gpu_pool(), polling=False)
    with pytest.raises(ResourceExistsError) as put:
        pools.begin_create("poola", gpu_pool())
    assert error_of(put) == (409, "OperationNotAllowed")
    with pytest.raises(ResourceExistsError) as delete:
        pools.begin_delete("poola")
    assert error_of(delete) == (409, "OperationNotAllowed")
    assert "in progress" in str(delete.value)
    cloud.pools.release("poola")
    wait_until(lambda: pools.get("poola").provisioning_state == "Succeeded")


def test_last_system_pool_stays(pools: Pools) -> None:
    with pytest.raises(HttpResponseError, match="at least one system agent pool"):
        pools.begin_delete(SYSTEM_POOL)


# ---- quota and stock


def test_family_quota_is_refused_before_anything_is_made(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.set_quota(families={"standardNCSv3Family": 18})
    pools.begin_create("poola", gpu_pool()).result()
    with pytest.raises(HttpResponseError) as refused:
        pools.begin_create("poolb", gpu_pool())
    assert error_of(refused) == (400, "ErrCode_InsufficientVCPUQuota")
    assert "requested 12, remaining 6 for family standardNCSv3Family for region eastus" in str(refused.value)
    pools.begin_delete("poola").result()
    pools.begin_create("poolb", gpu_pool()).result()


def test_regional_quota_fails_the_operation_and_leaves_a_failed_pool(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.set_quota(regional=10)
    poller = pools.begin_create("poola", gpu_pool())
    with pytest.raises(HttpResponseError) as failed:
        poller.result()
    assert error_of(failed) == (200, "OperationNotAllowed")
    assert "exceeding approved Total Regional Cores quota" in str(failed.value)
    assert "Submit a request for Quota increase" in str(failed.value)
    assert pools.get("poola").provisioning_state == "Failed"


@pytest.mark.parametrize(
    ("stock", "code"),
    [
        (Stock.RESTRICTED, "SkuNotAvailable"),
        (Stock.NO_CAPACITY, "AllocationFailed"),
        (Stock.NO_ZONAL_CAPACITY, "ZonalAllocationFailed"),
    ],
)
def test_size_that_cannot_be_had_fails_the_operation(pools: Pools, cloud: AksCloud, stock: Stock, code: str) -> None:
    cloud.pools.set_stock(SIZE, stock)
    with pytest.raises(HttpResponseError) as failed:
        pools.begin_create("poola", gpu_pool()).result()
    assert error_of(failed) == (200, code)
    cloud.pools.set_stock(SIZE, Stock.AVAILABLE)
    pools.begin_create("poola", gpu_pool()).result()


def test_size_outside_the_subscription_is_refused(pools: Pools, cloud: AksCloud) -> None:
    cloud.pools.set_stock(SIZE, Stock.NOT_ALLOWED)
    for size in (SIZE, "Standard_Imaginary_v9"):
        with pytest.raises(
            HttpResponseError, match=f"The VM size of {size} is not allowed in your subscription"
        ) as refused:
            pools.begin_create("poola", gpu_pool(vm_size=size))
        assert error_of(refused) == (400, "BadRequest")


# ---- input


@pytest.mark.parametrize(
    ("name", "overrides", "named"),
    [
        ("Pool", {}, "'Pool' is invalid"),
        ("0pool", {}, "'0pool' is invalid"),
        ("pool-1", {}, "'pool-1' is invalid"),
        ("averylongname", {}, "'averylongname' is invalid"),
        ("poola", {"node_labels": {"kubernetes.azure.com/x": "y"}}, "reserved for AKS"),
        ("poola", {"node_labels": {"ok": "not ok"}}, "not a valid Kubernetes label"),
        ("poola", {"node_taints": ["sku=gpu:Never"]}, "sku=gpu:Never"),
        ("poola", {"os_disk_size_gb": 2049}, "2049 is not between 0 and 2048"),
        # What gpu-provisioner 0.2.x makes of a storage request of 50Gi, and of 1Gi: 32 bits of the bytes.
        ("poola", {"os_disk_size_gb": -2147483648}, "osDiskSizeGB"),
        ("poola", {"os_disk_size_gb": 1073741824}, "osDiskSizeGB"),
        ("poola", {"count": 5000}, "count"),
    ],
)
def test_invalid_input_is_refused_by_name(pools: Pools, name: str, overrides: dict[str, Any], named: str) -> None:
    with pytest.raises(HttpResponseError, match=named) as refused:
        pools.begin_create(name, gpu_pool(**overrides))
    assert error_of(refused) == (400, "InvalidParameter")


@pytest.mark.parametrize(("sent", "given"), [(0, 128), (1, 1), (2048, 2048)])
def test_a_disk_of_the_documented_sizes_is_given_and_zero_leaves_it_to_the_vm_size(
    pools: Pools, sent: int, given: int
) -> None:
    """0 is also what gpu-provisioner 0.2.x makes of KAITO's 100Gi, 120Gi and 200Gi."""
    pools.begin_create("poola", gpu_pool(os_disk_size_gb=sent)).result()

    assert pools.get("poola").os_disk_size_gb == given


def test_vm_size_of_an_existing_pool_cannot_change(pools: Pools) -> None:
    pools.begin_create("poola", gpu_pool()).result()
    with pytest.raises(HttpResponseError) as refused:
        pools.begin_create("poola", gpu_pool(vm_size="Standard_NC6s_v3"))
    assert error_of(refused) == (400, "PropertyChangeNotAllowed")


# ---- configuration and identity


@pytest.mark.parametrize(
    ("error", "expected", "kind"),
    [
        ("unauthenticated", (401, "ExpiredAuthenticationToken"), ClientAuthenticationError),
        ("authorization_failed", (403, "AuthorizationFailed"), HttpResponseError),
        ("etag_not_expected", (412, "OriginalEtagNotExpect"), HttpResponseError),
        ("overconstrained", (409, "OverconstrainedAllocationRequest"), ResourceExistsError),
        ("preempted", (409, "ResourceOperationFailure"), ResourceExistsError),
        ("internal", (500, "InternalOperationError"), HttpResponseError),
        ("compute_family_quota", (409, "OperationNotAllowed"), ResourceExistsError),
    ],
)
def test_scripted_refusal_reaches_the_client_with_status_and_code(
    pools: Pools, cloud: AksCloud, error: str, expected: tuple[int, str], kind: type[HttpResponseError]
) -> None:
    cloud.pools.script(Script(Outcome.REFUSE, error=error))
    with pytest.raises(kind) as refused:
        pools.begin_create("poola", gpu_pool())
    assert error_of(refused) == expected
    with pytest.raises(ResourceNotFoundError):
        pools.get("poola")


def test_unknown_cluster_group_and_subscription_are_told_apart(cloud: AksCloud) -> None:
    with azure_client(cloud) as client:
        with pytest.raises(ResourceNotFoundError) as cluster:
            client.agent_pools.get(cloud.identity.resource_group, "other", "poola")
        with pytest.raises(ResourceNotFoundError) as group:
            list(client.agent_pools.list("other", cloud.identity.cluster_name))
    assert error_of(cluster) == (404, "ResourceNotFound")
    assert error_of(group) == (404, "ResourceGroupNotFound")


def test_names_in_the_path_are_case_insensitive(cloud: AksCloud) -> None:
    with azure_client(cloud) as client:
        pool = client.agent_pools.get(
            cloud.identity.resource_group.upper(), cloud.identity.cluster_name.upper(), USER_POOL
        )
    assert pool.name == USER_POOL


def test_request_without_api_version_is_refused(cloud: AksCloud) -> None:
    reply = cloud.server.answer("GET", f"{cloud.identity.cluster_id}/agentPools", {}, b"")
    assert (reply.status, reply.code) == (400, "MissingApiVersionParameter")


@pytest.mark.parametrize("version", ["2023-07-01", "2026-08-01"])
def test_client_may_pin_its_api_version(cloud: AksCloud, version: str) -> None:
    with azure_client(cloud, api_version=version) as client:
        assert client.agent_pools.get(*Pools(client, cloud).where, USER_POOL).name == USER_POOL
