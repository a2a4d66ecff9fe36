"""Peers that say nothing: how long until they are given up, on real sockets. Limits are shortened, the waiting is real."""

import http.client
import socket
import threading

import pytest

from controller_runtime.cache.frames import SILENCE_AFTER_BOOKMARK_S
from controller_runtime.client import connection as client_module
from controller_runtime.manager.manager import Manager
from controller_runtime.metrics.registry import new_registry
from controller_runtime.resources import PODS
from test.support.jumping_clock import JumpingClock
from test.support.managers import get, settings
from test.support.processes import wait_until
from test.support.reflector_rig import events, hold, pod, pod_list, rigs
from test.support.scripted_server import Request, ScriptedServer, Wire

BOOKMARK = ("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "50"}})


@pytest.fixture
def rig(tmp_path):
    yield from rigs(tmp_path)


def test_a_peer_that_falls_silent_after_a_bookmark_is_given_up_after_90_seconds(rig, monkeypatch):
    monkeypatch.setattr("controller_runtime.cache.frames.SILENCE_AFTER_BOOKMARK_S", 0.2)
    r = rig([pod_list(10)], [events(BOOKMARK, then=lambda wire: wire.hold()), hold])
    wait_until(lambda: len(r.server.watches()) == 2, 10)

    assert r.server.watches()[1].query["resourceVersion"] == "50"
    assert r.informer.stats.errors == {"WatchStalled": 1}
    assert len(r.server.lists()) == 1


def test_a_peer_that_never_says_anything_is_given_up_when_the_watch_is_overdue(rig, monkeypatch):
    monkeypatch.setattr("controller_runtime.cache.reflector.WATCH_TIMEOUT_S", 0.1)
    monkeypatch.setattr("controller_runtime.client.rest.WATCH_GRACE_S", 0.2)
    r = rig([pod_list(10)], [hold])
    wait_until(lambda: len(r.server.watches()) == 3, 10)

    assert {watch.query["resourceVersion"] for watch in r.server.watches()} == {"10"}
    assert set(r.informer.stats.errors) == {"WatchStalled"}
    assert len(r.server.lists()) == 1


def test_a_peer_that_vanished_without_a_word_is_noticed_by_keep_alive_and_the_watch_goes_on_elsewhere(rig, monkeypatch):
    for name in ("KEEPALIVE_IDLE_S", "KEEPALIVE_INTERVAL_S", "KEEPALIVE_PROBES"):
        monkeypatch.setattr(client_module, name, 1)

    def vanish(_: Request, wire: Wire) -> None:
        wire.start_stream()
        wire.event("ADDED", pod("a", 11))
        wire.vanish()
        wire.hold()

    r = rig([pod_list(10)], [vanish, events(("ADDED", pod("b", 12)), then=lambda wire: wire.hold())])
    r.keys("n/a", "n/b")

    assert r.server.watches()[1].query["resourceVersion"] == "11"
    assert r.informer.stats.errors == {"WatchStalled": 1}


def test_a_live_watch_has_keep_alive_that_notices_a_vanished_peer_within_90_seconds(tmp_path):
    with ScriptedServer(hold) as server:
        client = server.client(tmp_path)
        with client.watch(PODS, "n", resource_version="1") as stream:
            sock = stream._response.connection.sock
            idle_s, interval_s, probes = (
                sock.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert idle_s + interval_s * probes <= SILENCE_AFTER_BOOKMARK_S
        client.close()


def test_readyz_says_for_how_long_a_watch_has_been_silent_and_recovers_with_its_next_frame(tmp_path):
    speak = threading.Event()

    def script(request: Request, wire: Wire) -> None:
        if not request.is_watch:
            return wire.reply(200, pod_list(10))
        wire.start_stream()
        speak.wait(30)
        wire.event("ADDED", pod("a", 11))
        return wire.hold()

    clock = JumpingClock()
    with ScriptedServer(script) as server:
        client = server.client(tmp_path)
        manager = Manager(client, settings(), name="test", clock=clock, registry=new_registry(process=False))
        manager.informer(PODS)
        manager.start()
        try:
            wait_until(lambda: server.watches() and get(manager, "/readyz")[0] == 200, 10, "readiness")
            clock.advance(1300)  # More than twice the longest watch.
            status, text = get(manager, "/readyz?verbose")
            assert status == http.client.INTERNAL_SERVER_ERROR
            assert "[-]caches failed: pods: no frame from the API server for 1300 s" in text
            assert get(manager, "/healthz")[0] == 200, "a restart would not make the API server speak"
            speak.set()
            wait_until(lambda: get(manager, "/readyz")[0] == 200, 10, "recovery")
        finally:
            speak.set()
            manager.stop()
            client.close()
