"""The Workspace controller with its real informers, whose watch streams are held, doubled, shuffled, cut, expired and replayed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller_runtime.resources import name_of
from hack.localcluster.faults import Fault, FaultKind, Rule
from kaito_controller.workspace.act.actions import MACHINES
from test.support.workspace_world import Operator, World, workspace

pytestmark = pytest.mark.faults

OURS = "*kaito-controller*"
FAULTS = {
    "every event twice": Rule(Fault(FaultKind.DUPLICATE), client=OURS, times=0),
    "neighbours swapped": Rule(Fault(FaultKind.REORDER, events=1), client=OURS, resource="workspaces", nth=2),
    "connections cut": Rule(Fault(FaultKind.CUT), client=OURS, resource="machines", times=3),
    "versions expired": Rule(Fault(FaultKind.GONE), client=OURS, resource="machines"),
    "machines replayed": Rule(
        Fault(FaultKind.REPLAY_FROM, resource_version="1"), client=OURS, resource="machines", nth=3
    ),
    "workspaces replayed": Rule(
        Fault(FaultKind.REPLAY_FROM, resource_version="1"), client=OURS, resource="workspaces", nth=4
    ),
}


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


def machines_ever(world: World) -> set[str]:
    return {name_of(c.entry.obj) for c in world.server.events_log if "machines" in c.resource and c.event == "ADDED"}


def machine_deletes(world: World) -> list[str]:
    return [write for write in world.writes() if write.startswith("delete machines")]


@pytest.mark.parametrize("rule", FAULTS.values(), ids=FAULTS.keys())
def test_a_spoiled_stream_delays_and_orders_nothing_twice(world: World, rule: Rule) -> None:
    rule_id = world.server.faults.add(rule)
    with Operator(world):
        world.apply(workspace())
        world.until_ready(timeout_s=40.0)

    assert world.server.faults.fired(rule_id) > 0
    assert len(machines_ever(world)) == 1
    assert machine_deletes(world) == []


def test_machines_that_are_held_back_while_workspaces_flow_are_ordered_once(world: World) -> None:
    rule_id = world.server.faults.add(Rule(Fault(FaultKind.HOLD), client=OURS, resource="machines", times=0))
    with Operator(world):
        world.apply(workspace(resource={"count": 2}))
        world.until(lambda: len(machines_ever(world)) == 2, "two orders")
        for number in range(5):
            world.patch("phi", {"metadata": {"labels": {"touched": str(number)}}})
            world.step()
        assert len(machines_ever(world)) == 2

        world.server.faults.remove(rule_id)
        world.until_ready()
    assert len(machines_ever(world)) == 2
    assert len(world.all(MACHINES)) == 2
    assert machine_deletes(world) == []
