"""Whose request is next, and what a Machine that waits for it remembers."""

from __future__ import annotations

import gc
import weakref

import pytest

from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.rate_limit import LATE_S, Gate
from gpu_provisioner.cloud.turns import Turn, TurnQueue
from gpu_provisioner.machine.memory import Memory
from test.support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> Gate:
    """One request per second, ten at once, all spent."""
    gate = Gate(requests_per_s=1, burst=10, clock=clock)
    for number in range(10):
        gate.enter(Turn(f"spent-{number}", "former"))
    return gate


def told(gate: Gate, turn: Turn) -> float:
    """Seconds to wait; 0 when the request was granted."""
    try:
        gate.enter(turn)
    except port.BudgetSpent as refused:
        return refused.retry_after_s or -1.0
    return 0.0


def test_everybody_is_told_the_time_of_a_place_of_their_own(gate: Gate) -> None:
    assert [told(gate, Turn(f"p{n}", "a")) for n in range(8)] == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8])


def test_who_asks_again_too_early_keeps_the_place(gate: Gate, clock: FakeClock) -> None:
    first, second = Turn("p1", "a"), Turn("p2", "a")
    assert [told(gate, first), told(gate, second)] == pytest.approx([1, 2])
    clock.advance(0.5)
    assert [told(gate, second), told(gate, first)] == pytest.approx([1.5, 0.5])
    clock.advance(0.5)
    assert [told(gate, second), told(gate, first)] == pytest.approx([1, 0])


def test_five_hundred_of_one_owner_do_not_make_another_wait(gate: Gate) -> None:
    for number in range(500):
        told(gate, Turn(f"a{number}", "a"))
    assert told(gate, Turn("b0", "b")) == pytest.approx(2)
    assert told(gate, Turn("b1", "b")) == pytest.approx(4)


def test_owners_take_turns(clock: FakeClock, gate: Gate) -> None:
    waiting = [Turn(f"{owner}{n}", owner) for owner in "abc" for n in range(3)]
    for turn in waiting:
        told(gate, turn)
    order = []
    for _ in range(9):
        clock.advance(1)
        order += [turn for turn in waiting if turn not in order and told(gate, turn) == 0]
    assert sorted("".join(turn.owner or "" for turn in order[i : i + 3]) for i in (0, 3, 6)) == ["abc"] * 3


@pytest.mark.parametrize("urgent", [Turn("list"), Turn("delete p1")])
def test_giving_back_and_looking_go_before_every_order(gate: Gate, clock: FakeClock, urgent: Turn) -> None:
    for number in range(50):
        told(gate, Turn(f"a{number}", "a"))
    assert told(gate, urgent) == pytest.approx(1)
    clock.advance(1)
    assert told(gate, Turn("a0", "a")) == pytest.approx(1)
    assert told(gate, urgent) == 0


def test_who_gives_back_all_the_time_leaves_every_fifth_request_to_orders(gate: Gate, clock: FakeClock) -> None:
    order, urgent = Turn("a0", "a"), [Turn(f"get {n}") for n in range(20)]
    sent: list[Turn] = []
    for _ in range(10):
        for turn in [*urgent, order]:
            if turn not in sent and told(gate, turn) == 0:
                sent.append(turn)
        clock.advance(1)
    assert sent.index(order) == 4


def test_an_order_that_is_withdrawn_or_does_not_come_makes_nobody_wait(gate: Gate, clock: FakeClock) -> None:
    for number in range(8):
        told(gate, Turn(f"a{number}", "a"))
    for number in range(4):
        gate.leave(f"a{number}")
    clock.advance(0.5)
    assert told(gate, Turn("a4", "a")) == pytest.approx(0.5)
    clock.advance(10 + LATE_S)
    assert told(gate, Turn("b0", "b")) == 0
    assert told(gate, Turn("a4", "a")) == 0


def test_an_order_says_that_it_waits_and_a_look_does_not(gate: Gate) -> None:
    with pytest.raises(port.TurnAwaited, match="p1 is not ordered yet") as refused:
        gate.enter(Turn("p1", "a"))
    assert refused.value.is_news
    with pytest.raises(port.BudgetSpent) as unheard:
        gate.enter(Turn("list"))
    assert not unheard.value.is_news


def test_the_queue_keeps_nothing_of_those_who_went() -> None:
    queue = TurnQueue()
    for number in range(20):
        queue.hold(Turn(f"p{number}", f"owner-{number}"), 10.0)
        queue.hold(Turn(f"delete p{number}"), 10.0)
    for number in range(10):
        queue.served(Turn(f"p{number}", f"owner-{number}"))
    assert len(queue) == 30
    queue.drop_late(11.0)
    assert len(queue) == 0
    assert queue.ahead(Turn("new", "anybody")) == 0


class Seen:
    """Something in a frame."""


def refused_by(seen: Seen) -> port.Problem:
    try:
        raise port.Quota("no", code="QuotaExceeded")
    except port.CloudError as error:
        assert seen
        return error.problem


def test_what_is_remembered_of_an_error_holds_nothing_of_the_call(clock: FakeClock) -> None:
    seen = Seen()
    gone = weakref.ref(seen)
    memory = Memory(clock)
    memory.wait("uid", "create", refused_by(seen), 5)
    del seen
    gc.collect()
    assert gone() is None
    attempt = memory.attempt("uid", "create")
    assert attempt is not None
    assert str(attempt.problem).startswith("QuotaExceeded: no. Ask Azure")


def test_waiting_for_a_turn_keeps_what_the_cloud_said_last_and_is_no_failure(clock: FakeClock) -> None:
    memory = Memory(clock)
    quota, turn = port.Quota("no cores").problem, port.TurnAwaited("not yet", retry_after_s=9).problem
    assert memory.refused("uid", "create", quota) == 1
    memory.wait("uid", "create", quota, 5)
    assert memory.refused("uid", "create", turn) == 1
    memory.wait("uid", "create", turn, 9)
    attempt = memory.attempt("uid", "create")
    assert attempt is not None
    assert (attempt.problem, attempt.wait_s, attempt.awaits_turn) == (quota, 9, True)


def test_a_paused_clock_stands_still_and_goes_on(clock: FakeClock) -> None:
    memory = Memory(clock)
    memory.ages("uid", {"launch_s"})
    clock.advance(10)
    assert memory.ages("uid", {"launch_s"}) == {"launch_s": 10}
    clock.advance(100)
    assert memory.ages("uid", {"launch_s"}, paused={"launch_s"}) == {"launch_s": 10}
    clock.advance(5)
    assert memory.ages("uid", {"launch_s"}) == {"launch_s": 15}
