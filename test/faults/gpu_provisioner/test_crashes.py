"""The provisioner dies, or a request or its reply is lost, at every single write: the end is always the same as without.

Each scenario is run once without faults; then once for each of its writes and each way of failing. "Dies" means that all memory is gone
and a new process starts from what Kubernetes and Azure say.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gpu_provisioner.api.dialect import MACHINE, NODE_CLAIM, Dialect
from gpu_provisioner.api.labels import MACHINES
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import Fault, World
from test.support.sampling import sampled

pytestmark = pytest.mark.faults

MODES = ("crash-before", "crash-after", "lost-before", "lost-after")
STEP_S = 5.0
LIMIT_S = 3000.0
SETTLE_S = 600.0


def create(world: World) -> None:
    world.create_machine()
    assert world.run(LIMIT_S, world.is_ready, step_s=STEP_S), world.machine()


def create_and_delete(world: World) -> None:
    create(world)
    world.add_pod()
    world.delete_machine()
    assert world.run(LIMIT_S, world.is_gone, step_s=STEP_S), world.machine()


def delete_while_creating(world: World) -> None:
    world.create_machine()
    world.run(60, step_s=STEP_S)
    world.delete_machine()
    assert world.run(LIMIT_S, world.is_gone, step_s=STEP_S), world.machine()


def recreate_same_name(world: World) -> None:
    create_and_delete(world)
    create(world)


def second_type_after_failure(world: World) -> None:
    world.cloud.set_stock("Standard_NC6s_v3", "restricted")
    world.create_machine(instance_types=["Standard_NC6s_v3", "Standard_NC12s_v3"])
    assert world.run(LIMIT_S, world.is_ready, step_s=STEP_S), world.machine()


SCENARIOS = (create, create_and_delete, delete_while_creating, recreate_same_name, second_type_after_failure)


def run(scenario: Callable[[World], None], fault: Fault | None = None, node_api: Dialect = MACHINE) -> World:
    world = World(fault, node_api=node_api)
    scenario(world)
    world.run(SETTLE_S, step_s=STEP_S)
    return world


BY_NODE_CLAIM = (create_and_delete, second_type_after_failure)
"""Those that pass every write that differs between the node APIs."""
EVERYTHING = [(scenario, MACHINE) for scenario in SCENARIOS] + [(scenario, NODE_CLAIM) for scenario in BY_NODE_CLAIM]


CASES = [(scenario, node_api, mode) for scenario, node_api in EVERYTHING for mode in MODES]


@pytest.mark.parametrize(
    ("scenario", "node_api", "mode"),
    # Three and four have no common divisor: the sample has every scenario and every mode.
    sampled(CASES, every=3, names=[f"{scenario.__name__}-{api.name}-{mode}" for scenario, api, mode in CASES]),
)
def test_every_write_may_fail_and_the_end_is_the_same(
    scenario: Callable[[World], None], node_api: Dialect, mode: str
) -> None:
    golden = run(scenario, node_api=node_api)
    assert check(golden) == []
    failures = []
    for number, write in enumerate(golden.writes):
        extra = 1 if _forgets_the_refusal(scenario, mode) else 0
        try:
            problems = check(run(scenario, Fault(number, mode), node_api), golden, extra_orders=extra)
        except AssertionError as error:
            problems = [f"never got there: {error}"]
        failures += [f"{mode} at write {number} ({write}): {problem}" for problem in problems]
    assert failures == []


def _forgets_the_refusal(scenario: Callable[[World], None], mode: str) -> bool:
    """Which type was refused is remembered in the process only: a new one may ask for it once more, one pool at a time."""
    return scenario is second_type_after_failure and mode.startswith("crash")


def test_the_golden_runs_stay_within_the_write_budget() -> None:
    world = run(create)
    kubernetes = [write for write in world.writes if not write.startswith("arm ")]
    azure = [write for write in world.writes if write.startswith("arm ")]
    assert len(kubernetes) <= 8, kubernetes
    assert azure == ["arm put ws012345678"]


def test_a_process_that_dies_again_and_again_still_makes_one_pool() -> None:
    world = World()
    world.faults = [Fault(number, "crash-after") for number in range(0, 40, 2)]
    create(world)
    world.run(SETTLE_S, step_s=STEP_S)
    assert world.restarts > 2
    assert len(world.orders) == 1
    assert check(world) == []


def test_an_oracle_notices_a_leaked_pool() -> None:
    world = run(create)
    world.admin.patch(MACHINES, "ws012345678", {"metadata": {"finalizers": None}})
    world.controllers = []
    world.delete_machine()
    assert any("leaked" in problem or "before its pool" in problem for problem in check(world))
    world.violations.clear()
