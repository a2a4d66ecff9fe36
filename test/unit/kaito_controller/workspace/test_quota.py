"""What a published offer does to a decision: said first, held back only where that is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaito_controller.api import reasons
from kaito_controller.catalog.offer import FamilyQuota, InstanceOffer, OfferedType
from kaito_controller.workspace.conditions.status import conditions_of
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.nodes import assign
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.observe.published import OfferSource
from test.support.snapshots import TYPE, node, nodes, raw_workspace, snapshot


def offer(free: int, restriction: str = "") -> InstanceOffer:
    return InstanceOffer(
        "2026-11-29T04:00:00Z",
        "eastus",
        {"family": FamilyQuota("family", free, 0)},
        {TYPE.lower(): OfferedType(TYPE, "family", 6, restriction)},
    )


def test_a_shortage_is_said_and_the_nodes_are_ordered_all_the_same() -> None:
    seen = replace(snapshot(raw_workspace(count=2)), offer=offer(free=6))

    decision = decide(seen)

    assert decision.machines.reason is reasons.QUOTA_SHORT
    assert "6 short" in decision.machines.message
    assert len(decision.assignment.order) == 2


@pytest.mark.parametrize("free", [0, 6])
def test_a_spot_workspace_is_held_against_the_quota_of_spot_cores(free: int) -> None:
    raw = raw_workspace()
    raw["metadata"]["annotations"] = {"kaito.sh/capacity-type": "spot"}
    spot = FamilyQuota("spot", free, 0)
    seen = replace(
        snapshot(raw),
        offer=replace(offer(free=0), families={**offer(free=0).families, "spot": spot}),
        require_quota=True,
    )

    decision = decide(seen)

    assert len(decision.assignment.order) == free // 6
    assert (decision.machines.reason is reasons.QUOTA_SHORT) is (free == 0)
    assert ("spot cores" in decision.machines.message) is (free == 0)


def test_with_the_setting_nothing_is_ordered_or_claimed_while_the_quota_is_short() -> None:
    seen = replace(snapshot(raw_workspace(count=3), nodes=nodes(node("free"))), offer=offer(free=6), require_quota=True)

    decision = decide(seen)

    assert decision.machines.reason is reasons.QUOTA_SHORT
    assert (decision.assignment.order, decision.assignment.claim) == ((), ())
    assert [action for action in plan(seen, decision) if "Machine" in str(action)] == []
    machine_ready = next(c for c in conditions_of(seen, decision) if c.type == "MachineReady")
    assert machine_ready.status == "False"


def test_only_the_nodes_that_are_missing_count() -> None:
    seen = replace(snapshot(raw_workspace(count=2), nodes=nodes(node("free"))), offer=offer(free=6), require_quota=True)

    assert len(assign(seen, wants_nodes=True).order) == 1


def test_an_unknown_quota_holds_nothing_back() -> None:
    for unknown in (None, InstanceOffer(), replace(offer(free=0), families={})):
        seen = replace(snapshot(), offer=unknown, require_quota=True)

        assert decide(seen).assignment.order != (), unknown
        assert decide(seen).machines.reason is not reasons.QUOTA_SHORT


def test_a_type_that_is_not_sold_is_said_with_the_cloud_word() -> None:
    seen = replace(snapshot(), offer=offer(free=100, restriction="NotAvailableForSubscription"))

    assert "NotAvailableForSubscription" in decide(seen).machines.message


def test_nothing_is_said_of_quota_when_nothing_is_missing() -> None:
    seen = replace(snapshot(raw_workspace(), nodes=nodes(node("free"))), offer=offer(free=0))

    assert decide(seen).assignment.scarce is None


def test_the_published_text_is_decoded_once_for_each_version() -> None:
    found = {"metadata": {"resourceVersion": "1"}, "data": {"offer.json": '{"region": "eastus"}'}}
    source = OfferSource(lambda _name: found)

    first = source.current()

    assert first is not None
    assert first.region == "eastus"
    assert source.current() is first
    found = {"metadata": {"resourceVersion": "2"}, "data": None}
    assert source.current() is None
