"""Peers that say nothing, and stopping while they do."""

import pytest

from test.support.processes import wait_until
from test.support.reflector_rig import events, hold, pod_list, rigs


@pytest.fixture
def rig(tmp_path):
    yield from rigs(tmp_path)


def test_a_silent_peer_is_given_up_90_seconds_after_a_bookmark(rig, monkeypatch):
    # The limit itself is a constant; here it is shortened so that real silence on a real socket can be waited for.
    monkeypatch.setattr("controller_runtime.frames.SILENCE_AFTER_BOOKMARK_S", 0.2)
    bookmark = ("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "50"}})
    r = rig([pod_list(10)], [events(bookmark, then=lambda wire: wire.hold()), hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)
    assert r.server.watches()[1].query["resourceVersion"] == "50"
    assert r.informer.stats.errors == {"WatchStalled": 1}


@pytest.mark.parametrize("where", ["watch", "silent list"])
def test_stop_does_not_wait_for_the_network(rig, where):
    if where == "watch":
        r = rig([pod_list(10)], [hold])
        wait_until(lambda: r.server.watches(), 10)
    else:
        r = rig([lambda _, wire: wire.hold()], [hold], read_timeout_s=60)
        wait_until(lambda: r.server.requests, 10)
    assert r.informer.stop(1)
