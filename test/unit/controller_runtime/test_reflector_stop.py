"""A reflector can be stopped whatever it is doing, at once, and leaves nothing behind."""

import os
import threading
import time

import pytest

from controller_runtime.clock import SYSTEM_CLOCK
from test.support.processes import wait_until
from test.support.reflector_rig import Rig, hold, pod_list, refuse
from test.support.scripted_server import Request, Wire


def sockets():
    """The inodes of this process's sockets."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:  # The directory listing itself had a descriptor, which is closed by now.
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def half_a_list(_: Request, wire: Wire) -> None:
    wire.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"kind":"PodList",')
    wire.hold()


def silent(_: Request, wire: Wire) -> None:
    wire.hold()


SITUATIONS = {
    "list that is not answered": (silent, hold, lambda r: r.server.lists()),
    "list that stops in the middle": (half_a_list, hold, lambda r: r.server.lists()),
    "watch that is not answered": (pod_list(10), silent, lambda r: r.server.watches()),
    "watch without events": (pod_list(10), hold, lambda r: r.server.watches()),
    "pause after a refusal": (refuse(503, "ServiceUnavailable"), hold, lambda r: r.informer.stats.errors),
    "pause of a minute that the server asked for": (
        refuse(429, "TooManyRequests", {"Retry-After": "60"}),
        hold,
        lambda r: r.informer.stats.errors,
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_stop_returns_within_a_second_and_leaves_no_thread_and_no_socket(situation, tmp_path):
    lists, watches, reached = SITUATIONS[situation]
    threads, open_before = set(threading.enumerate()), sockets()
    r = Rig(tmp_path, [lists], [watches], clock=SYSTEM_CLOCK, read_timeout_s=60)
    wait_until(lambda: reached(r), 10, situation)
    began = time.monotonic()
    stopped = r.informer.stop(5)
    took_s = time.monotonic() - began
    r.close()

    assert stopped
    assert took_s < 1
    wait_until(lambda: set(threading.enumerate()) <= threads, 5, "the end of every thread")
    assert sockets() <= open_before
