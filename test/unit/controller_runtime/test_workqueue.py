import pytest

from controller_runtime.queue.workqueue import LOW_PRIORITY, WorkQueue
from test.support.fake_clock import FakeClock
from test.support.queues import in_thread, take_all


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue(clock):
    return WorkQueue("test", clock=clock, strict=True)


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


def test_a_key_that_is_held_too_long_is_named_once_for_each_time_it_is_held(queue, clock):
    for _ in range(2):
        queue.add("slow")
        queue.get(0)
        clock.advance(10)
        assert queue.newly_overdue(10) == []
        clock.advance(0.1)
        assert [queue.newly_overdue(10), queue.newly_overdue(10)] == [["slow"], []]
        queue.done("slow")
