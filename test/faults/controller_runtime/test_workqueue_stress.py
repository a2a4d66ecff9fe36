"""Real threads at full speed: no key twice at a time, no add lost, no waiter left asleep."""

import os
import random
import threading
from collections import Counter

import pytest

from controller_runtime.clock import SystemClock
from controller_runtime.queue.workqueue import ShutDown, WorkQueue
from test.support.processes import wait_until
from test.support.queues import in_thread

pytestmark = pytest.mark.faults

ROUNDS = 100_000


def test_no_key_is_ever_held_twice_and_no_add_is_lost_under_8_threads_of_10_000_adds():
    queue = WorkQueue("stress", strict=True)
    lock = threading.Lock()
    holders, run_of, overlaps = Counter(), Counter(), []
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
            os.sched_yield()  # Whoever else could take the key gets the chance to.
            with lock:
                holders[key] -= 1
            queue.done(key)

    consumers = [threading.Thread(target=consume, daemon=True) for _ in range(4)]
    producers = [threading.Thread(target=produce, args=(seed,), daemon=True) for seed in range(8)]
    for thread in consumers + producers:
        thread.start()
    for thread in producers:
        thread.join()
    held = queue.shut_down(drain=True, deadline_s=60)
    for thread in consumers:
        thread.join()
    missing = [key for key, added in last_add.items() if run_of[key] < added]

    assert (held, overlaps, missing) == ([], [], [])
    assert len(last_add) == 100


def test_no_wake_up_is_lost_in_100_000_rounds_of_an_add_to_sleeping_workers():
    queue = WorkQueue("wake")
    answered = threading.Semaphore(0)

    def consume():
        try:
            while True:
                queue.done(queue.get())
                answered.release()
        except ShutDown:
            return

    consumers = [threading.Thread(target=consume, daemon=True) for _ in range(2)]
    for thread in consumers:
        thread.start()
    for number in range(ROUNDS):
        queue.add(number)
        # Nothing else is queued: when this add wakes nobody, nobody ever answers.
        assert answered.acquire(timeout=10), f"the add of round {number} woke nobody"
    queue.shut_down()
    for thread in consumers:
        thread.join(10)

    assert not any(thread.is_alive() for thread in consumers)


class CountingClock(SystemClock):
    """Counts who falls asleep on a condition and who wakes up."""

    def __init__(self):
        self.asleep, self.woken = 0, 0

    def wait(self, condition, timeout_s):
        self.asleep += 1
        try:
            return super().wait(condition, timeout_s)
        finally:
            self.woken += 1


def test_one_add_wakes_one_of_three_waiters():
    clock = CountingClock()
    queue = WorkQueue("test", clock=clock)
    waiting = [in_thread(lambda: queue.get(30)) for _ in range(3)]
    wait_until(lambda: clock.asleep == 3, 10)

    queue.add("a")
    wait_until(lambda: any(box for _, box in waiting), 10)
    assert clock.woken == 1
    queue.add("b")
    queue.add("c")
    for thread, _ in waiting:
        thread.join(10)

    assert sorted(key for _, box in waiting for key in box) == ["a", "b", "c"]
    assert clock.woken == 3
