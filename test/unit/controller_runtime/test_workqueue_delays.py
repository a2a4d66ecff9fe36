"""Keys that wait: delays, backoff, and which of several wishes holds."""

import pytest

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.queue.workqueue import LOW_PRIORITY, WorkQueue
from test.support.fake_clock import FakeClock
from test.support.queues import in_thread, take_all


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue(clock):
    return WorkQueue("test", clock=clock, strict=True)


@pytest.mark.parametrize("delays", [(10, 1), (1, 10)])
def test_of_two_delays_the_earlier_one_holds_and_the_key_runs_once(queue, clock, delays):
    for delay_s in delays:
        queue.add("a", after_s=delay_s)
    clock.advance(0.9)
    assert take_all(queue) == []
    clock.advance(0.1)
    assert take_all(queue) == ["a"]
    clock.advance(60)
    assert take_all(queue) == []


@pytest.mark.parametrize("delay_s", [0, -1])
def test_a_delay_of_nothing_is_an_immediate_add(queue, delay_s):
    queue.add("a", after_s=delay_s)

    assert take_all(queue) == ["a"]
    assert queue.stats().retries == 0


def test_an_add_during_a_delay_runs_now_and_not_again_when_the_delay_would_have_ended(queue, clock):
    queue.add("a", after_s=10)
    queue.add("a")
    assert take_all(queue) == ["a"]
    clock.advance(10)

    assert take_all(queue) == []


def test_a_delay_for_a_ready_key_is_ignored_but_may_raise_its_priority(queue, clock):
    queue.add("b")
    queue.add("a", priority=LOW_PRIORITY)
    queue.add("a", priority=5, after_s=10)

    assert take_all(queue) == ["a", "b"]
    clock.advance(10)
    assert take_all(queue) == []


def test_delays_end_in_order_of_time_not_of_arrival(queue, clock):
    for key, delay_s in (("c", 3), ("a", 1), ("b", 2)):
        queue.add(key, after_s=delay_s)
    clock.advance(5)

    assert take_all(queue) == ["a", "b", "c"]


def test_a_waiting_worker_wakes_when_the_first_delay_ends_even_if_it_was_added_later(queue, clock):
    thread, box = in_thread(lambda: queue.get(1000))
    clock.wait_for_waiters()
    queue.add("late", after_s=100)
    queue.add("early", after_s=10)
    clock.wait_for_waiter_due(10)
    clock.advance(10)
    thread.join(10)

    assert box == ["early"]


def test_keys_made_ready_early_leave_no_trail_of_dead_timers(queue):
    for _ in range(10_000):
        queue.add("a", after_s=3600)
        queue.add("a")
        take_all(queue)

    assert len(queue._delayed) < 200


def test_rate_limited_adds_back_off_and_forget_starts_over(queue, clock):
    for expected_ms in (5, 10, 20):
        queue.add("a", rate_limited=True)
        clock.advance(expected_ms / 1000 - 0.0001)
        assert take_all(queue) == []
        clock.advance(0.0002)
        assert take_all(queue) == ["a"]
    assert queue.num_requeues("a") == 3
    assert queue.stats().retries == 3

    queue.forget("a")

    assert queue.num_requeues("a") == 0


def test_a_delay_and_the_limiter_together_take_the_smaller_one(clock):
    queue = WorkQueue("test", limiter=ItemExponentialLimiter(8.0, 8.0), clock=clock, strict=True)
    queue.add("short", after_s=1, rate_limited=True)
    queue.add("long", after_s=60, rate_limited=True)

    clock.advance(1)
    assert take_all(queue) == ["short"]
    clock.advance(7)
    assert take_all(queue) == ["long"]
