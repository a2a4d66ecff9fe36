"""The published offer: what a shortage says, and that unknown is never taken for none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_provisioner.cloud.offers import CoreQuota, Offer
from gpu_provisioner.cloud.offers import OfferedType as CloudType
from gpu_provisioner.offer import reconciler as publisher
from kaito_controller.catalog.offer import CONFIG_MAP, KEY, InstanceOffer, is_known, read_offer, shortage

PUBLISHED = {
    "checkedAt": "2026-11-29T04:00:00Z",
    "region": "eastus",
    "families": {"standardNCSv3Family": {"limit": 24, "used": 18}, "cores": {"limit": 350, "used": 100}},
    "skus": {
        "Standard_NC6s_v3": {"family": "StandardNCSv3Family", "cores": 6, "restricted": False, "reason": ""},
        "Standard_NC24s_v3": {"family": "standardNCSv3Family", "cores": 24, "restricted": False, "reason": ""},
        "Standard_ND96asr_v4": {
            "family": "NDASv4",
            "cores": 96,
            "restricted": True,
            "reason": "NotAvailableForSubscription",
        },
    },
}


def offer(**changes: Any) -> InstanceOffer:
    found = read_offer(json.dumps({**PUBLISHED, **changes}))
    assert found is not None
    return found


def test_an_order_within_the_quota_is_no_shortage() -> None:
    assert shortage(offer(), "Standard_NC6s_v3", 1) is None
    assert is_known(offer(), "standard_nc6S_v3")


def test_a_shortage_says_what_is_free_what_is_needed_and_when_that_was_read() -> None:
    found = shortage(offer(), "standard_nc6s_V3", 3)
    assert found is not None
    assert found.missing_cores == 12
    assert found.message == (
        "the quota of standardNCSv3Family in eastus has 6 of 24 cores free, and 3 x Standard_NC6s_v3 need 18: 12 short "
        "(as of 2026-11-29T04:00:00Z)"
    )


def test_spot_nodes_are_held_against_the_spot_cores_of_the_region_and_nothing_else() -> None:
    families = {**PUBLISHED["families"], "spot": {"limit": 100, "used": 80}}

    assert shortage(offer(families=families), "Standard_NC6s_v3", 3, spot=True) is None
    found = shortage(offer(families=families), "Standard_NC24s_v3", 1, spot=True)
    assert found is not None
    assert found.message.startswith("the quota of spot cores in eastus has 20 of 100 cores free")
    assert shortage(offer(), "Standard_NC24s_v3", 1, spot=True) is None
    assert [is_known(o, "Standard_NC24s_v3", spot=True) for o in (offer(families=families), offer())] == [True, False]


def test_all_cores_of_the_region_may_be_what_is_short() -> None:
    families = {"standardNCSv3Family": {"limit": 240, "used": 0}, "cores": {"limit": 350, "used": 340}}
    found = shortage(offer(families=families), "Standard_NC24s_v3", 1)
    assert found is not None
    assert found.message.startswith("the quota of all cores in eastus has 10 of 350 cores free")


def test_a_quota_that_is_overdrawn_has_nothing_free() -> None:
    found = shortage(offer(families={"standardNCSv3Family": {"limit": 6, "used": 12}}), "Standard_NC6s_v3", 1)
    assert found is not None
    assert found.missing_cores == 6


def test_a_type_that_is_not_sold_to_the_subscription_says_so() -> None:
    found = shortage(offer(), "Standard_ND96asr_v4", 1)
    assert found is not None
    assert (
        found.message == "Standard_ND96asr_v4 is not sold to this subscription in eastus (NotAvailableForSubscription)"
    )


@pytest.mark.parametrize(
    "published",
    [
        None,
        "",
        "{",
        "[]",
        "5",
        "[" * 60_000,
        json.dumps({"families": [1], "skus": "none"}),
        json.dumps({**PUBLISHED, "skus": {"Standard_NC6s_v3": {"family": "f", "cores": "many"}}}),
        json.dumps({**PUBLISHED, "skus": {}}),
        json.dumps({**PUBLISHED, "families": {"standardNCSv3Family": {"limit": None, "used": 18}}}),
        json.dumps({**PUBLISHED, "families": {"standardNCSv3Family": {"limit": -1, "used": 18}}}),
        " " * 600_000,
    ],
)
def test_what_cannot_be_read_is_unknown_and_no_shortage(published: str | None) -> None:
    found = read_offer(published)
    assert shortage(found, "Standard_NC6s_v3", 100) is None
    assert not is_known(found, "Standard_NC6s_v3")


LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.lists(st.integers(), max_size=2)
)
ENTRY = LEAF | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("limit", "used", "family", "cores", "restricted"), LEAF)
)
TABLE = LEAF | st.dictionaries(st.sampled_from(["Standard_NC6s_v3", "f", "cores"]), ENTRY, max_size=3)


@given(families=TABLE, skus=TABLE, nodes=st.integers(-5, 10**6))
def test_no_published_text_raises(families: Any, skus: Any, nodes: int) -> None:
    text = json.dumps({"families": families, "skus": skus})
    found = shortage(read_offer(text), "Standard_NC6s_v3", nodes)
    assert found is None or found.message


def test_the_provisioner_writes_what_the_controller_reads() -> None:
    assert (publisher.NAME, publisher.KEY) == (CONFIG_MAP, KEY)
    written = publisher.describe(
        Offer(
            "eastus",
            {
                "standardNCSv3Family": CoreQuota(24, 18),
                "cores": CoreQuota(350, 100),
                "standardDSv5Family": CoreQuota(9, 0),
            },
            {
                "Standard_NC6s_v3": CloudType("standardNCSv3Family", 6),
                "Standard_NC24s_v3": CloudType("f", 24, "QuotaId"),
            },
        )
    )
    read = read_offer(json.dumps({"checkedAt": "2026-11-29T04:00:00Z", **written}))
    assert read is not None
    assert sorted(read.families) == ["cores", "standardncsv3family"]
    assert read.types["standard_nc6s_v3"].cores == 6
    assert read.types["standard_nc24s_v3"].restriction == "QuotaId"
    assert read.region == "eastus"
