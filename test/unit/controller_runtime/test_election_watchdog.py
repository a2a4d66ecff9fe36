"""The watchdog: whatever else hangs, a process that lost the Lease ends before another one may lead."""

import threading

import pytest

from controller_runtime.errors import ServiceUnavailable
from test.support.election import TIMINGS, elector, fail_writes
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient


@pytest.fixture
def client():
    return MemoryClient()


@pytest.fixture
def clock():
    return FakeClock()


def test_the_watchdog_exits_the_process_when_a_renewal_hangs_forever(client, clock):
    exits, exited, hang = [], threading.Event(), threading.Event()

    def exit_process(code):
        exits.append((code, clock.monotonic()))
        exited.set()

    a = elector(client, clock, exit_process=exit_process)
    a.start()
    clock.wait_for_waiters(2)
    assert a.is_leader
    renewed_at = clock.monotonic()
    client.before = lambda *_: hang.wait(60)
    while not exited.wait(0.01):
        clock.advance(0.5)
        assert clock.monotonic() < renewed_at + TIMINGS.lease_duration_s, "too late: others may lead"
    hang.set()
    a.stop(release=False)

    assert exits[0][0] == 1


def test_the_watchdog_exits_the_process_when_the_lost_callback_hangs(client, clock):
    exited, hang, called = threading.Event(), threading.Event(), threading.Event()

    def never_return():
        called.set()
        hang.wait(60)

    a = elector(client, clock, on_lost=never_return, exit_process=lambda _: exited.set())
    a.start()
    clock.wait_for_waiters(2)
    fail_writes(client, ServiceUnavailable("down"))
    while not exited.wait(0.005):
        clock.advance(0.25)
    assert called.is_set()
    hang.set()
    a.stop(release=False)


def test_the_watchdog_leaves_a_healthy_leader_and_a_standby_alone(client, clock):
    exits = []
    a = elector(client, clock, exit_process=exits.append)
    b = elector(client, clock, "b", exit_process=exits.append)
    a.start()
    clock.wait_for_waiters(2)
    b.start()
    for _ in range(60):
        clock.wait_for_waiters(4)
        before = len(client.calls)
        clock.advance(2)
        # The leader's renewal is due every two seconds; wait until it came.
        clock.wait_for_waiters(4)
        deadline = threading.Event()
        while "replace leases lease" not in client.calls[before:] and not deadline.wait(0.001):
            pass
    a.stop()
    b.stop()

    assert exits == []
