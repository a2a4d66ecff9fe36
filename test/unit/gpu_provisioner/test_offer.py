"""Quotas and offered instance types: read from localcluster's cloud with the real Azure libraries, published in one ConfigMap."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from controller_runtime.errors import Forbidden
from controller_runtime.resources import CONFIG_MAPS
from gpu_provisioner.cloud.azure.agent_pools import AzureAgentPools, AzureOptions
from gpu_provisioner.cloud.azure.offers import AzureOffers
from gpu_provisioner.cloud.offers import CoreQuota, OfferedType
from gpu_provisioner.cloud.port import PoolSpec
from gpu_provisioner.offer.reconciler import KEY, NAME, OFFER, REWRITTEN_AFTER_S, OfferReconciler
from hack.localcluster.cloud import AksCloud
from hack.localcluster.faults import Fault, FaultKind, FaultPlan, Rule
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient

NAMESPACE = "kaito-system"


@pytest.fixture
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture
def cloud(plan: FaultPlan) -> Iterator[AksCloud]:
    with AksCloud(plan, page_size=7) as cloud:
        yield cloud


@pytest.fixture
def pools(cloud: AksCloud) -> Iterator[AzureAgentPools]:
    identity = cloud.identity
    adapter = AzureAgentPools(
        AzureOptions(
            identity.subscription_id,
            identity.resource_group,
            identity.cluster_name,
            credential="none",
            arm_endpoint=cloud.url,
        )
    )
    yield adapter
    adapter.close()


@pytest.fixture
def offers(cloud: AksCloud, pools: AzureAgentPools) -> AzureOffers:
    return AzureOffers(pools, cloud.identity.location)


class Published:
    """A publisher over a client and a clock of its own."""

    def __init__(self, offers: AzureOffers) -> None:
        self.client = MemoryClient()
        self.clock = FakeClock()
        self.read_at: list[float] = []
        self.reconciler = OfferReconciler(
            offers, self.client, NAMESPACE, period_s=1800, was_read=self.read_at.append, clock=self.clock
        )

    def run(self, after_s: float = 0.0) -> float | None:
        self.clock.advance(after_s)
        return self.reconciler.reconcile(OFFER).requeue_after_s

    def offer(self) -> Any:
        return json.loads(self.client.get(CONFIG_MAPS, NAME, NAMESPACE)["data"][KEY])

    def writes(self) -> list[str]:
        return [call for call in self.client.calls if not call.startswith("get")]


@pytest.fixture
def published(offers: AzureOffers) -> Published:
    return Published(offers)


def test_quota_and_types_are_read_over_all_pages(cloud: AksCloud, pools: AzureAgentPools, offers: AzureOffers) -> None:
    cloud.pools.set_quota(regional=350, families={"standardNCSv3Family": 24})
    pools.create(PoolSpec("wsoffer0001", "Standard_NC6s_v3"))
    offer = offers.read_offer()
    assert offer.families is not None
    assert offer.instance_types is not None
    assert offer.families["standardNCSv3Family"] == CoreQuota(limit=24, used=6)
    assert offer.families["cores"].limit == 350
    assert offer.instance_types["Standard_NC6s_v3"] == OfferedType("standardNCSv3Family", 6)
    assert offer.instance_types["Standard_ND96asr_v4"].cores == 96
    assert len([call for call in cloud.server.calls if call.resource == "skus"]) > 1


def test_spot_cores_are_counted_apart(cloud: AksCloud, pools: AzureAgentPools, published: Published) -> None:
    cloud.pools.set_quota(spot=18, families={"standardNCSv3Family": 0})
    pools.create(PoolSpec("wsoffer0001", "Standard_NC12s_v3", capacity_type="spot"))

    published.run()

    families = published.offer()["families"]
    assert families["spot"] == {"limit": 18, "used": 12}
    assert families["standardNCSv3Family"] == {"limit": 0, "used": 0}
    assert families["cores"]["used"] == 8 - 8, "on demand only"


def test_a_type_that_the_subscription_may_not_use_says_why(cloud: AksCloud, offers: AzureOffers) -> None:
    cloud.pools.set_stock("Standard_NC24s_v3", "not_allowed")
    types = offers.read_offer().instance_types
    assert types is not None
    assert types["Standard_NC24s_v3"].restriction == "NotAvailableForSubscription"
    assert types["Standard_NC12s_v3"].restriction == ""


@pytest.mark.parametrize(("denied", "left"), [("usages", "skus"), ("skus", "families")])
def test_what_the_identity_may_not_read_is_left_out(
    plan: FaultPlan, published: Published, denied: str, left: str
) -> None:
    plan.add(Rule(Fault(FaultKind.STATUS, code=403, reason="AuthorizationFailed", message="no"), resource=denied))
    published.run()
    assert sorted(published.offer()) == sorted(["checkedAt", left, "region"])


def test_an_identity_without_both_rights_publishes_that_nothing_is_known(plan: FaultPlan, published: Published) -> None:
    for denied in ("usages", "skus"):
        plan.add(Rule(Fault(FaultKind.STATUS, code=403, reason="AuthorizationFailed", message="no"), resource=denied))
    published.run()
    assert sorted(published.offer()) == ["checkedAt", "region"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.STATUS, code=503, reason="ServiceUnavailable", message="down"),
        Fault(FaultKind.GARBAGE),
        Fault(FaultKind.DROP_BEFORE_COMMIT),
    ],
    ids=["503", "not json", "no reply"],
)
def test_a_cloud_that_cannot_be_asked_leaves_what_was_published(
    plan: FaultPlan, published: Published, fault: Fault
) -> None:
    published.run()
    before, writes = published.offer(), len(published.writes())
    plan.add(Rule(fault, resource="usages"))
    assert published.run(after_s=1800) == 1800
    assert published.offer() == before
    assert len(published.writes()) == writes


def test_a_throttled_reading_waits_as_long_as_azure_asks(plan: FaultPlan, published: Published) -> None:
    fault = Fault(FaultKind.STATUS, code=429, reason="TooManyRequests", message="slow down", retry_after_s=3000)
    plan.add(Rule(fault, resource="skus"))
    assert published.run() == 3000


def test_nothing_is_written_while_nothing_changes(published: Published) -> None:
    published.run()
    first = published.writes()
    for _ in range(5):
        published.run(after_s=1800)
    assert published.writes() == first
    assert len(published.read_at) == 6


def test_a_change_is_written_at_once_and_an_unchanged_offer_after_six_hours(
    cloud: AksCloud, published: Published
) -> None:
    published.run()
    written = len(published.writes())
    cloud.pools.set_quota(families={"standardNCSv3Family": 12})
    published.run(after_s=1800)
    assert published.offer()["families"]["standardNCSv3Family"]["limit"] == 12
    assert len(published.writes()) == written + 1
    before = published.offer()["checkedAt"]
    published.run(after_s=REWRITTEN_AFTER_S)
    assert published.offer()["checkedAt"] > before


def test_what_others_keep_in_the_config_map_stays(published: Published) -> None:
    published.client.create(
        CONFIG_MAPS, {"metadata": {"name": NAME, "namespace": NAMESPACE}, "data": {"note": "ours"}}, NAMESPACE
    )
    published.run()
    assert published.client.get(CONFIG_MAPS, NAME, NAMESPACE)["data"]["note"] == "ours"


def test_a_write_that_is_refused_is_tried_again_at_the_next_round(published: Published) -> None:
    def refuse(verb: str, _resource: object, _name: str) -> None:
        if verb == "patch":
            raise Forbidden("configmaps is forbidden", code=403, reason="Forbidden")

    published.client.before = refuse
    with pytest.raises(Forbidden):
        published.run()
    published.client.before = lambda _verb, _resource, _name: None
    published.run()
    assert "skus" in published.offer()


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"resourceType": "disks", "name": "Standard_NC6s_v3", "family": "f"},
        {"resourceType": "virtualMachines", "name": "Standard_D4s_v5", "family": "standardDSv5Family"},
        {"resourceType": "virtualMachines", "name": "Standard_NC6s_v3", "family": None},
        {"resourceType": "virtualMachines", "name": "Standard_NC6s_v3", "family": "f", "capabilities": ["vCPUs"]},
        {"resourceType": "virtualMachines", "name": 5, "family": "f"},
    ],
)
def test_an_entry_that_is_no_gpu_size_is_passed_over(entry: dict[str, Any]) -> None:
    class OneEntry:
        def read_list(self, path: str, api_version: str, **query: str) -> list[dict[str, Any]]:
            return [entry]

    offer = AzureOffers(OneEntry(), "eastus").read_offer()
    assert offer.instance_types == {}
    assert offer.families == {}


def test_the_region_is_in_the_question(offers: AzureOffers, cloud: AksCloud) -> None:
    offers.read_offer()
    resources: list[str] = [call.resource for call in cloud.server.calls]
    assert set(resources) == {"usages", "skus"}
