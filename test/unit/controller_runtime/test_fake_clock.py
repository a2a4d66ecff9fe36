import threading

import pytest

from test.support.fake_clock import START, FakeClock


def waiter(clock, timeout_s):
    condition, box = threading.Condition(), []

    def wait():
        with condition:
            box.append(clock.wait(condition, timeout_s))

    thread = threading.Thread(target=wait)
    thread.start()
    clock.wait_for_waiters()
    return thread, condition, box


def test_time_stands_still_until_it_is_moved():
    clock = FakeClock()
    before = clock.monotonic()
    assert (clock.monotonic(), clock.now()) == (before, START)
    clock.advance(90)

    assert clock.monotonic() == before + 90
    assert (clock.now() - START).total_seconds() == 90


def test_a_step_of_the_wall_clock_moves_no_timeout():
    clock = FakeClock()
    thread, condition, box = waiter(clock, 10)
    before = clock.monotonic()
    clock.step_wall(3600)

    assert clock.monotonic() == before
    assert (clock.now() - START).total_seconds() == 3600
    assert box == []
    with condition:
        condition.notify()
    thread.join(10)


def test_a_wait_ends_with_false_when_its_time_has_come_and_not_before():
    clock = FakeClock()
    thread, _, box = waiter(clock, 10)
    clock.advance(9.9)
    clock.wait_for_waiters()
    assert box == []
    clock.advance(0.1)
    thread.join(10)

    assert box == [False]


def test_a_notified_wait_ends_with_true():
    clock = FakeClock()
    thread, condition, box = waiter(clock, 10)
    with condition:
        condition.notify()
    thread.join(10)

    assert box == [True]


def test_an_event_is_waited_for_on_the_fake_clock():
    clock, event, box = FakeClock(), threading.Event(), []
    thread = threading.Thread(target=lambda: box.append(clock.wait_event(event, 10)))
    thread.start()
    clock.wait_for_waiters()
    clock.advance(10)
    thread.join(10)
    assert box == [False]

    event.set()
    assert clock.wait_event(event, 10) is True


def test_a_missing_waiter_is_reported_and_not_waited_for_forever():
    with pytest.raises(AssertionError, match="expected 1 threads waiting on the clock, found 0"):
        FakeClock().wait_for_waiters(1, real_timeout_s=0.01)
