"""A person who has only `kubectl logs` can follow a Machine's life; a Machine that is well says nothing."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog

from gpu_provisioner.api import reasons
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import World

pytestmark = pytest.mark.faults

NAME = "ws012345678"
Line = MutableMapping[str, Any]


@pytest.fixture
def lines() -> list[Line]:
    """What the provisioner logs of Machines, oldest first. The suite's own fixture puts the configuration back."""
    written: list[Line] = []

    def kept(_logger: object, level: str, line: Line) -> Line:
        if "machine" in line:
            written.append({**line, "level": level})
        raise structlog.DropEvent

    structlog.configure(processors=[kept])
    return written


def carried_out(lines: list[Line]) -> list[str]:
    return [line["event"] for line in lines if "took_s" in line]


def test_the_log_tells_a_machine_from_the_order_to_the_end_and_nothing_while_all_is_well(lines: list[Line]) -> None:
    world = World()
    world.create_machine()
    assert world.run(600, world.is_ready)
    world.settle()
    begun = [*lines]
    ordered = next(line for line in begun if "took_s" in line)
    assert (begun[0]["event"], ordered["event"]) == ("finalizer added", "agent pool ordered")
    assert (ordered["pool"], ordered["instance_type"]) == (NAME, "Standard_NC12s_v3")
    assert carried_out(begun).count("agent pool ordered") == 1
    assert set(carried_out(begun)) == {"agent pool ordered", "node updated"}

    changes = [line for line in begun if line["event"] == "machine changed"]
    assert [line["reason"] for line in changes] == [
        "LaunchInProgress",
        "Launched",
        "Registered",
        "Initialized",
        "Ready",
    ]
    assert changes[0]["lasted_s"] is None, "nothing was shown before"
    assert changes[-1]["lasted_s"] > 0, "how long it was not ready"

    world.run(3600, step_s=10)
    assert lines == begun, "an hour of being well"

    world.add_pod()
    world.delete_machine()
    assert world.run(900, world.is_gone)
    end = lines[len(begun) :]
    assert [event for event in carried_out(end) if event != "node updated"] == [
        "eviction asked for",
        "deletion of agent pool asked for",
        "node released",
        "finalizer removed",
    ]
    assert {line["reason"] for line in end if "took_s" in line and "reason" in line} == {"MachineDeleted"}
    assert next(line["pod"] for line in end if line["event"] == "eviction asked for") == "default/model-0"
    assert end[-1]["ended_in_s"] > 0
    assert {line["machine"] for line in lines} == {NAME}
    assert {line["level"] for line in lines} == {"info"}
    assert check(world) == []


def test_an_order_that_the_cloud_refuses_is_no_order_and_giving_up_says_why(lines: list[Line]) -> None:
    world = World()
    world.cloud.set_quota(families={"standardNCSv3Family": 0})
    world.create_machine()
    assert world.run(6 * 3600, world.is_gone, step_s=10)

    assert carried_out(lines) == ["giving the machine up", "finalizer removed"]
    given_up, ended = (line for line in lines if "took_s" in line)
    assert given_up["level"] == "warning"
    assert given_up["reason"] == ended["reason"] == reasons.LAUNCH_TIMEOUT
