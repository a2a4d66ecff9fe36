import random
import threading
import time
from collections import Counter

import pytest

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.workqueue import LOW_PRIORITY, ShutDown, WorkQueue
from test.support.fake_clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue(clock):
    return WorkQueue("test", clock=clock, strict=True)


def take_all(queue):
    """Hand out and give back until the queue is empty."""
    taken = []
    while (key := queue.get(0)) is not None:
        taken.append(key)
        queue.done(key)
    return taken


def in_thread(work):
    """Run `work` in a thread; the box gets its result."""
    box = []
    thread = threading.Thread(target=lambda: box.append(work()), daemon=True)
    thread.start()
    return thread, box


def test_a_key_added_100_times_is_handed_out_once(queue):
    for _ in range(100):
        queue.add("a")

    assert len(queue) == 1
    assert queue.stats().adds == 1
    assert queue.stats().depth[0] == 1
    assert take_all(queue) == ["a"]


def test_a_key_added_while_it_is_processed_runs_once_more_after_done_at_the_tail(queue):
    queue.add("a")
    assert queue.get(0) == "a"
    queue.add("a")
    queue.add("a")
    queue.add("b")
    assert queue.get(0) == "b"
    queue.add("c")
    assert queue.get(0) == "c"
    assert queue.get(0) is None, "a held key was handed out a second time"
    queue.add("d")

    queue.done("a")

    assert [queue.get(0), queue.get(0), queue.get(0)] == ["d", "a", None]


def test_len_counts_ready_keys_only_and_depth_counts_dirty_ones(queue):
    queue.add("a")
    queue.get(0)
    queue.add("a")
    queue.add("b")
    queue.add("c", after_s=5)

    assert len(queue) == 1
    assert queue.stats().depth[0] == 2


def test_distinct_keys_of_one_priority_leave_in_order_of_arrival(queue):
    for key in "cabed":
        queue.add(key)

    assert take_all(queue) == list("cabed")


def test_no_key_is_ever_held_twice_and_no_add_is_lost_under_8_threads():
    queue = WorkQueue("stress", strict=True)
    lock = threading.Lock()
    holders, run_of, overlaps, missing = Counter(), Counter(), [], []
    last_add = {}
    sequence = iter(range(10**9))

    def produce(seed):
        rng = random.Random(seed)
        for _ in range(10_000):
            key = rng.randrange(100)
            with lock:
                last_add[key] = next(sequence)
            queue.add(key)

    def consume():
        while True:
            try:
                key = queue.get()
            except ShutDown:
                return
            with lock:
                holders[key] += 1
                if holders[key] > 1:
                    overlaps.append(key)
                run_of[key] = next(sequence)
            with lock:
                holders[key] -= 1
            queue.done(key)

    consumers = [threading.Thread(target=consume, daemon=True) for _ in range(4)]
    producers = [threading.Thread(target=produce, args=(seed,), daemon=True) for seed in range(4)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()
    held = queue.shut_down(drain=True, deadline_s=60)
    for thread in consumers:
        thread.join()
    missing = [key for key, added in last_add.items() if run_of[key] < added]

    assert (held, overlaps, missing) == ([], [], [])


def test_each_add_wakes_a_waiter_over_many_rounds():
    queue = WorkQueue("wake")
    rounds = 20_000
    seen = Counter()

    def consume():
        try:
            while True:
                key = queue.get()
                seen[key] += 1
                queue.done(key)
        except ShutDown:
            return

    consumers = [threading.Thread(target=consume, daemon=True) for _ in range(2)]
    for thread in consumers:
        thread.start()
    for number in range(rounds):
        queue.add(number)
    assert queue.shut_down(drain=True, deadline_s=60) == []
    for thread in consumers:
        thread.join()

    assert sum(seen.values()) == rounds


def test_get_waits_and_is_woken_by_an_add():
    queue = WorkQueue("test")
    thread, box = in_thread(lambda: queue.get(30))

    queue.add("a")
    thread.join(10)

    assert box == ["a"]


def test_get_gives_up_after_its_timeout(queue, clock):
    thread, box = in_thread(lambda: queue.get(5))
    clock.wait_for_waiters()
    clock.advance(5)
    thread.join(10)

    assert box == [None]


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
    clock.wait_for_waiters()
    while not box:
        clock.advance(0.5)
        time.sleep(0.001)
        assert clock.monotonic() < 1000 + 60
    thread.join(10)

    assert box == ["early"]


def test_keys_made_ready_early_leave_no_trail_of_dead_timers(queue):
    for _ in range(10_000):
        queue.add("a", after_s=3600)
        queue.add("a")
        take_all(queue)

    assert len(queue._delays) < 200


def test_priority_0_overtakes_the_initial_list_and_equal_priorities_stay_in_order(queue):
    for key in ("l1", "l2"):
        queue.add(key, priority=LOW_PRIORITY)
    for key in ("u1", "u2"):
        queue.add(key)

    assert take_all(queue) == ["u1", "u2", "l1", "l2"]


def test_a_raised_key_goes_to_the_end_of_its_new_class_and_lowering_is_ignored(queue):
    queue.add("a", priority=LOW_PRIORITY)
    queue.add("b")
    queue.add("a")
    queue.add("b", priority=LOW_PRIORITY)

    assert queue.stats().depth == {0: 2, LOW_PRIORITY: 0}
    assert take_all(queue) == ["b", "a"]


def test_a_key_raised_while_held_is_queued_with_the_new_priority(queue):
    queue.add("a", priority=LOW_PRIORITY)
    queue.get(0)
    queue.add("a", priority=LOW_PRIORITY)
    queue.add("a")
    queue.add("b", priority=LOW_PRIORITY)
    queue.done("a")

    assert take_all(queue) == ["a", "b"]


def test_a_low_priority_key_runs_within_the_ageing_limit_under_endless_high_load(clock):
    queue = WorkQueue("test", clock=clock, ageing_limit_s=30, strict=True)
    queue.add("old", priority=LOW_PRIORITY)
    waited_s = 0
    for number in range(1000):
        queue.add(number)
        key = queue.get(0)
        queue.done(key)
        if key == "old":
            break
        clock.advance(1)
        waited_s += 1

    assert waited_s == 30


def test_a_worker_can_ask_for_the_priority_its_key_was_taken_with(queue):
    queue.add("a", priority=LOW_PRIORITY)
    queue.get(0)

    assert queue.priority_of("a") == LOW_PRIORITY
    queue.done("a")
    assert queue.priority_of("a") == 0


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


def test_a_stray_done_is_an_error_in_tests_and_ignored_in_production(queue):
    with pytest.raises(ValueError, match="no worker holds"):
        queue.done("never taken")

    WorkQueue("production").done("never taken")


def test_durations_and_ages_are_measured_and_fall_to_zero_after_done(queue, clock):
    queue.add("a")
    clock.advance(2)
    queue.get(0)
    queue.add("b")
    queue.get(0)
    clock.advance(5)

    stuck = queue.stats()
    assert (stuck.longest_running_s, stuck.unfinished_s) == (5, 10)
    assert queue.held() == {"a": 5, "b": 5}
    queue.done("a")
    queue.done("b")

    stats = queue.stats()
    assert (stats.longest_running_s, stats.unfinished_s) == (0, 0)
    assert stats.queue_duration.total == 2
    assert stats.work_duration.total == 10
    assert sum(stats.work_duration.counts) == 2
