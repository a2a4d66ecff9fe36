"""Spot nodes: ordered by an annotation, taken back by their cloud with and without a notice, replaced without costing an attempt."""

from __future__ import annotations

import pytest

from controller_runtime.resources import Object
from hack.localcluster.cloud.model import Outcome, Script
from test.support.kaito_rig import Rig
from test.support.supply import Terms
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def asking_for(capacity: str, namespace: str, **resource: str) -> Object:
    annotations = {"kaito.sh/capacity-type": capacity}
    return workspace("phi", namespace, metadata={"annotations": annotations}, resource=resource)


def billed(rig: Rig, namespace: str) -> dict[str, Terms]:
    """The terms by name of the order, of the nodes that the Workspace holds."""
    names = [order["metadata"]["name"] for order in rig.machines("phi", namespace)]
    found = rig.supply.billed()
    return {name: found[name] for name in names if name in found}


def attempts(rig: Rig, namespace: str) -> list[Object]:
    status = (rig.workspace("phi", namespace) or {}).get("status") or {}
    return list((status.get("record") or {}).get("attempts") or [])


@pytest.mark.node_apis
def test_spot_node_that_is_taken_back_is_drained_and_replaced_and_costs_no_attempt(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(asking_for("spot", namespace))
    rig.wait_ready("phi", namespace)
    ((order, terms),) = billed(rig, namespace).items()
    (node,) = rig.worker_nodes("phi", namespace)
    assert terms == rig.supply.spot

    words = rig.supply.evict(order)

    told = rig.notes(namespace, "SpotNodeEvicted")
    assert f"Spot node {node} {words}" in told
    assert "does not count as a failed attempt" in told
    rig.wait_for(
        lambda: rig.worker_nodes("phi", namespace) not in ([], [node]) and rig.condition("phi", namespace)[0] == "True",
        "serving on another node",
        90.0,
    )
    assert list(billed(rig, namespace).values()) == [rig.supply.spot]
    assert [(entry["reason"], entry["failed"]) for entry in attempts(rig, namespace)] == [("SpotEvicted", 0)]
    rig.wait_for(lambda: order not in rig.supply.billed(), "the end of the old node")


@pytest.mark.localcluster("takes more than two minutes; the long suites run it once")
@pytest.mark.long
def test_spot_nodes_that_go_without_a_notice_are_replaced_more_often_than_attempts_are_allowed(
    rig: Rig, namespace: str
) -> None:
    rig.kubectl.apply(asking_for("spot", namespace))
    rig.wait_ready("phi", namespace)

    for _ in range(4):
        ((pool, _terms),) = billed(rig, namespace).items()
        (node,) = rig.worker_nodes("phi", namespace)
        assert rig.cluster.cloud.pools.evict(pool, notice_s=0)
        rig.wait_for(
            lambda node=node: (
                rig.worker_nodes("phi", namespace) not in ([], [node]) and rig.condition("phi", namespace)[0] == "True"
            ),
            "serving on another node",
            90.0,
        )

    assert [(entry["reason"], entry["failed"]) for entry in attempts(rig, namespace)] == [("SpotEvicted", 0)]


@pytest.mark.node_apis
def test_spot_then_on_demand_goes_on_demand_after_an_eviction(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(asking_for("spot-then-on-demand", namespace))
    rig.wait_ready("phi", namespace)
    ((order, terms),) = billed(rig, namespace).items()
    (node,) = rig.worker_nodes("phi", namespace)
    assert terms == rig.supply.spot

    rig.supply.evict(order)

    rig.wait_for(
        lambda: rig.worker_nodes("phi", namespace) not in ([], [node]) and rig.condition("phi", namespace)[0] == "True",
        "serving on another node",
        90.0,
    )
    assert list(billed(rig, namespace).values()) == [rig.supply.on_demand]


@pytest.mark.our_provisioner("the kwok provider has no answer for a capacity type that it is out of")
@pytest.mark.node_apis
@pytest.mark.long
def test_spot_then_on_demand_goes_on_demand_where_there_is_no_spot_capacity(rig: Rig, namespace: str) -> None:
    rig.cluster.cloud.pools.script(Script(Outcome.FAIL, error="allocation_failed"))

    # A type of its own: the provisioner remembers for a while of which type there is no spot capacity.
    rig.kubectl.apply(asking_for("spot-then-on-demand", namespace, instanceType="Standard_NC12s_v3"))

    rig.wait_ready("phi", namespace, 90.0)
    assert list(billed(rig, namespace).values()) == [rig.supply.on_demand]
    passed = (rig.workspace("phi", namespace) or {})["status"]["record"]["passed"]
    assert ("spot", "InsufficientCapacity") in [(entry["capacityType"], entry["reason"]) for entry in passed]


def test_node_on_demand_is_said_to_the_cloud_too(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(asking_for("on-demand", namespace))
    rig.wait_ready("phi", namespace)

    assert list(billed(rig, namespace).values()) == [rig.supply.on_demand]


@pytest.mark.parametrize("value", ["Spot", "", "spot-then-nothing"])
def test_value_that_nobody_understands_orders_nothing(rig: Rig, namespace: str, value: str) -> None:
    rig.kubectl.apply(asking_for(value, namespace))

    message = rig.wait_reason("phi", namespace, "InvalidSpec", "ResourceReady")

    assert 'metadata.annotations["kaito.sh/capacity-type"]' in message
    assert "is not one of spot, on-demand, spot-then-on-demand" in message
    assert rig.machines("phi", namespace) == []
