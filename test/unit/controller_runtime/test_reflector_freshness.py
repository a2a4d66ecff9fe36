"""Since when a cache can be trusted: whatever is judged by absence or by age asks this first."""

import math
import threading

import pytest

from test.support.processes import wait_until
from test.support.reflector_rig import events, hold, pod_list, refuse, rigs


@pytest.fixture
def rig(tmp_path):
    yield from rigs(tmp_path)


def test_a_cache_is_fresh_without_end_while_its_watch_goes_on_even_across_watches(rig):
    politely = events(("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "11"}}))
    r = rig([pod_list(10)], [politely, hold])

    wait_until(lambda: len(r.server.watches()) == 2, 10)

    assert r.informer.fresh_for_s() == math.inf


def test_a_cache_is_not_fresh_while_its_watch_is_refused_and_counts_anew_afterwards(rig):
    healed = threading.Event()

    def watch(request, wire):
        (hold if healed.is_set() else refuse(500, "InternalError"))(request, wire)

    r = rig([pod_list(10)], [watch])

    wait_until(lambda: r.informer.has_synced and r.informer.fresh_for_s() is None, 10, "being stale")
    healed.set()
    wait_until(lambda: r.informer.fresh_for_s() is not None, 10, "being fresh")
    assert 0 <= r.informer.fresh_for_s() < math.inf


def test_a_cache_that_read_nothing_yet_or_has_stopped_is_not_fresh(rig):
    r = rig([refuse(500, "InternalError")], [hold])

    assert r.informer.fresh_for_s() is None
