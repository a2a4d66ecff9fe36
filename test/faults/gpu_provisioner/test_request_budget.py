"""More Machines than the request budget lets order at once: they wait in turns, say so, and nothing loops."""

from __future__ import annotations

import pytest
import structlog

from gpu_provisioner.api import reasons
from test.bench.orders import Counted
from test.faults.gpu_provisioner.oracles import check
from test.faults.gpu_provisioner.world import World


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:05d}" for number in range(count)]


def make(world: World, prefix: str, count: int, namespace: str) -> list[str]:
    made = names(prefix, count)
    for name in made:
        world.create_machine(name, labels={"kaito.sh/workspacenamespace": namespace})
    return made


def waits(world: World, name: str) -> bool:
    return world.condition("MachineLaunched", name).get("reason") == reasons.WAITING_FOR_TURN


@pytest.fixture
def short() -> World:
    """One request per second, five at once; less time for a launch than the last of forty waits."""
    return World(azure_requests_per_s=1, azure_request_burst=5, launch_timeout_s=40, gc_period_s=3600)


def test_machines_that_wait_for_their_turn_say_so_and_lose_no_time(short: World) -> None:
    made = make(short, "wsa", 40, "a")
    short.run(2)
    assert sum(waits(short, name) for name in made) >= 30
    waiting = next(name for name in made if waits(short, name))
    message = short.condition("Ready", waiting)["message"]
    assert message.startswith(
        f"agent pool {waiting} is not ordered yet, as the budget of 1 requests per second is used up"
    )
    assert waiting not in short.pools()
    assert short.run(900, until=lambda: all(short.is_ready(name) for name in made), step_s=2)
    assert len(short.orders) == 40
    assert check(short) == []


def test_the_first_machine_of_another_namespace_does_not_wait_behind_forty(short: World) -> None:
    make(short, "wsa", 40, "a")
    short.run(2)
    (other,) = make(short, "wsb", 1, "b")
    assert short.run(6, until=lambda: other in short.pools())


def test_machines_that_are_deleted_while_they_wait_are_never_ordered_and_free_their_places(short: World) -> None:
    made = make(short, "wsa", 40, "a")
    short.run(2)
    waiting = [name for name in made if waits(short, name)]
    for name in waiting[:-1]:
        short.delete_machine(name)
    assert short.run(40, until=lambda: waiting[-1] in short.pools())
    assert {name for name, _, _ in short.orders}.isdisjoint(waiting[:-1])
    assert short.run(900, until=lambda: all(short.is_gone(name) for name in waiting[:-1]), step_s=2)
    assert check(short) == []


def test_giving_back_goes_before_ordering(short: World) -> None:
    (served,) = make(short, "wsz", 1, "z")
    assert short.run(900, until=lambda: short.is_ready(served))
    make(short, "wsa", 40, "a")
    short.run(2)
    short.delete_machine(served)
    assert short.run(8, until=lambda: short.pools()[served]["properties"]["provisioningState"] == "Deleting")


def test_no_machine_asks_much_more_often_than_its_place_moves(short: World) -> None:
    made = make(short, "wsa", 40, "a")
    assert short.run(900, until=lambda: len(short.pools()) == 40)
    waited = [r for r, _, _ in short.orders]
    assert sorted(waited) == made
    status_writes = [write for write in short.writes if "status" in write]
    assert len(status_writes) <= 40 * 6
    orders = [note for kind, reason, note in short.events if reason == reasons.WAITING_FOR_TURN and kind == "Normal"]
    assert len(orders) <= 40


def test_a_machine_that_waits_longer_says_no_more_in_the_log(short: World) -> None:
    """Finalizer, a first try, the wait, the order, the creation: as many lines for the last of forty as for the tenth."""
    lines = Counted()
    structlog.configure(processors=[lines])
    made = make(short, "wsa", 40, "a")

    assert short.run(900, until=lambda: len(short.pools()) == 40)

    assert lines.lines["agent pool ordered"] == 40
    assert set(lines.of) == set(made)
    assert max(lines.of.values()) <= 5
