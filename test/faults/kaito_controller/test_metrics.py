"""What Prometheus is told of a Workspace's life, as the registry of a running controller shows it."""

from __future__ import annotations

from typing import Any

import pytest

from controller_runtime.resources import NODES, name_of
from kaito_controller.workspace.metrics import PHASES
from test.support.workspace_world import Operator, World, workspace

pytestmark = pytest.mark.faults


def samples(operator: Operator, name: str) -> dict[tuple[str, ...], float]:
    """Values by label values, in the order of the labels' names."""
    found: Any = [sample for family in operator.manager.registry.collect() for sample in family.samples]
    return {tuple(v for _, v in sorted(s.labels.items())): s.value for s in found if s.name == name}


def counts(operator: Operator) -> dict[str, float]:
    """How often each phase was timed."""
    return {phase: value for (phase,), value in samples(operator, "kaito_workspace_phase_seconds_count").items()}


def test_each_phase_of_a_life_is_timed_once_and_the_gauge_follows(world: World) -> None:
    world.script.node_ready = False
    with Operator(world) as operator:
        world.apply(workspace())
        world.until(lambda: samples(operator, "kaito_workspaces") == {("waiting", "MachinesPending"): 1}, "the gauge")
        assert counts(operator) == dict.fromkeys(PHASES, 0) | {"node_ordered": 1}
        assert samples(operator, "kaito_ordered_nodes") == {(): 1}
        assert samples(operator, "kaito_ordered_nodes_limit") == {(): 100}

        world.script.node_ready = True
        world.until(lambda: world.all(NODES), "the node")
        world.set_node(name_of(world.all(NODES)[0]), ready=True, gpus=1)
        world.until_ready()

        world.until(lambda: counts(operator) == dict.fromkeys(PHASES, 1), "the phases being timed")
        sums = samples(operator, "kaito_workspace_phase_seconds_sum")
        assert all(0 <= value < 60 for value in sums.values())
        world.until(lambda: samples(operator, "kaito_workspaces") == {("ready", "InferenceServing"): 1}, "the gauge")
        world.delete()
        world.until(lambda: samples(operator, "kaito_workspaces") == {}, "the end of the gauge")


def test_machine_that_fails_for_good_is_counted_by_its_reason(world: World) -> None:
    world.script.launch_failure = lambda _machine: ("InstanceTypeNotOffered", "SkuNotAvailable: not in eastus")
    with Operator(world, machine_attempts=2, machine_retry_delay_s=0.1) as operator:
        world.apply(workspace())

        world.until(lambda: world.condition("WorkspaceReady")[1] == "MachineAttemptsExhausted", "the last attempt")

        assert samples(operator, "kaito_machine_failures_total") == {("InstanceTypeNotOffered",): 2}
        world.until(
            lambda: samples(operator, "kaito_workspaces") == {("failed", "MachineAttemptsExhausted"): 1}, "the gauge"
        )
