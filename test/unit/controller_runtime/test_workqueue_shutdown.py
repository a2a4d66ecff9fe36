"""How a work queue ends: at once, after what is queued, or after what is held."""

import pytest

from controller_runtime.queue.workqueue import LOW_PRIORITY, ShutDown, WorkQueue
from test.support.fake_clock import FakeClock
from test.support.queues import in_thread


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue(clock):
    return WorkQueue("test", clock=clock, strict=True)


def test_after_shutdown_adds_are_ignored_and_queued_keys_are_still_delivered(queue):
    queue.add("a", priority=LOW_PRIORITY)
    queue.add("b")
    queue.shut_down()
    queue.shut_down()
    queue.add("c")
    queue.add("d", after_s=1)

    assert [queue.get(0), queue.get(0)] == ["b", "a"]
    with pytest.raises(ShutDown):
        queue.get(0)


def test_a_key_that_became_dirty_before_shutdown_still_gets_its_second_run(queue):
    queue.add("a")
    queue.get(0)
    queue.add("a")
    queue.shut_down()
    queue.done("a")

    assert queue.get(0) == "a"


def test_shutdown_releases_every_waiter():
    queue = WorkQueue("test")

    def wait():
        try:
            return queue.get()
        except ShutDown:
            return "shut down"

    waiting = [in_thread(wait) for _ in range(3)]
    queue.shut_down()
    for thread, _ in waiting:
        thread.join(10)

    assert [box for _, box in waiting] == [["shut down"]] * 3


def test_a_hard_shutdown_drops_queued_and_waiting_keys(queue, clock):
    queue.add("a")
    queue.add("b", after_s=1)

    assert queue.shut_down(hard=True) == []

    clock.advance(2)
    with pytest.raises(ShutDown):
        queue.get(0)
    assert queue.stats().depth == {0: 0}


def test_a_drain_returns_only_when_nothing_is_queued_or_held():
    queue = WorkQueue("test", strict=True)
    queue.add("a")
    queue.add("b")
    queue.get(0)
    queue.add("a")
    thread, box = in_thread(lambda: queue.shut_down(drain=True, deadline_s=60))

    queue.done("a")
    for expected in ("b", "a"):
        assert queue.get(5) == expected
        assert box == [], "the drain ended while keys were left"
        queue.done(expected)
    thread.join(10)

    assert box == [[]]


def test_a_drain_waits_for_queued_keys_even_when_no_worker_holds_one(queue, clock):
    queue.add("a")
    thread, box = in_thread(lambda: queue.shut_down(drain=True, deadline_s=1000))
    clock.wait_for_waiters()
    assert box == []

    assert queue.get(0) == "a"
    queue.done("a")
    thread.join(10)

    assert box == [[]]


def test_a_drain_ends_at_its_deadline_and_names_the_held_keys(queue, clock):
    queue.add("slow")
    queue.get(0)
    thread, box = in_thread(lambda: queue.shut_down(drain=True, deadline_s=30))
    clock.wait_for_waiters()
    clock.advance(30)
    thread.join(10)

    assert box == [["slow"]]


def test_a_plain_shutdown_ends_an_earlier_drain(queue, clock):
    queue.add("slow")
    queue.get(0)
    thread, box = in_thread(lambda: queue.shut_down(drain=True, deadline_s=1000))
    clock.wait_for_waiters()

    queue.shut_down()
    thread.join(10)

    assert box == [["slow"]]
