"""How a manager ends: on request, on failure, on losing the Lease, and in which order."""

import signal
import threading
import time

import pytest
import structlog

from controller_runtime.controller.controller import Controller, Request, for_object
from controller_runtime.errors import FatalError
from controller_runtime.resources import LEASES
from test.support.managers import Blocking, Cache, fast_election, get, managers, run_in_thread, settings
from test.support.memory_client import MemoryClient
from test.support.processes import wait_until


@pytest.fixture
def client():
    return MemoryClient()


@pytest.fixture
def build(client):
    yield from managers(client)


def test_a_stop_lets_the_running_reconcile_end_then_gives_the_lease_back(build, client):
    manager, reconciler = build(fast_election()), Blocking()
    controller = Controller("maps", reconciler)
    manager.add_controller(controller)
    manager.start()
    wait_until(manager.may_write, 10, "leadership")
    controller.enqueue(Request("ns", "slow"))
    assert reconciler.entered.wait(10)
    holder_while_stopping = []

    def watch_then_release():
        wait_until(manager._stopping.is_set, 10, "the stop")
        holder_while_stopping.append(client.get(LEASES, "test", "ns")["spec"]["holderIdentity"])
        reconciler.release.set()

    helper = threading.Thread(target=watch_then_release)
    helper.start()
    code = manager.stop()
    helper.join()

    assert code == 0
    assert holder_while_stopping != [""], "the lease was given back while a worker was busy"
    assert client.get(LEASES, "test", "ns")["spec"]["holderIdentity"] == ""


def test_a_reconcile_that_does_not_end_in_time_means_exit_1_and_the_lease_is_kept(build, client):
    manager, reconciler = build(fast_election(graceful_shutdown_timeout_s=0.4)), Blocking()
    controller = Controller("maps", reconciler)
    manager.add_controller(controller)
    manager.start()
    wait_until(manager.may_write, 10, "leadership")
    controller.enqueue(Request("ns", "stuck"))
    assert reconciler.entered.wait(10)
    began = time.monotonic()

    with structlog.testing.capture_logs() as logs:
        code = manager.stop()
    took_s = time.monotonic() - began
    reconciler.release.set()

    assert code == 1
    (line,) = [line for line in logs if line["log_level"] == "error"]
    assert (line["grace_period_s"], line["still_running"]) == (0.4, ["maps: ns/stuck"])
    assert took_s < 5
    assert client.get(LEASES, "test", "ns")["spec"]["holderIdentity"] != ""


def test_while_stopping_readyz_is_false_and_healthz_true(build):
    manager, reconciler = build(), Blocking()
    controller = Controller("maps", reconciler)
    manager.add_controller(controller)
    manager.start()
    controller.enqueue(Request("ns", "slow"))
    assert reconciler.entered.wait(10)
    stopping = threading.Thread(target=manager.stop)
    stopping.start()

    wait_until(lambda: "[-]shutdown failed" in get(manager, "/readyz")[1], 10, "unreadiness")
    assert get(manager, "/healthz")[0] == 200
    reconciler.release.set()
    stopping.join()


def test_a_lost_lease_stops_the_process_with_exit_1_and_without_waiting_for_workers(build, client, monkeypatch):
    manager, reconciler = build(fast_election()), Blocking()
    controller = Controller("maps", reconciler)
    manager.add_controller(controller)
    thread, box = run_in_thread(manager, monkeypatch)
    wait_until(manager.may_write, 10, "leadership")
    controller.enqueue(Request("ns", "slow"))
    assert reconciler.entered.wait(10)

    client.patch(LEASES, "test", {"spec": {"holderIdentity": "thief"}}, "ns")
    thread.join(10)
    reconciler.release.set()

    assert box == [1]
    assert not manager.may_write()
    assert client.get(LEASES, "test", "ns")["spec"]["holderIdentity"] == "thief"


def test_a_fatal_error_of_a_reconciler_stops_the_process_with_exit_1(build, monkeypatch):
    class Fatal:
        def reconcile(self, request):
            raise FatalError("cannot go on")

    manager = build()
    controller = Controller("maps", Fatal())
    manager.add_controller(controller)
    thread, box = run_in_thread(manager, monkeypatch)
    controller.enqueue(Request("ns", "x"))
    thread.join(10)

    assert box == [1]


def test_a_runnable_that_fails_stops_the_process_with_exit_1(build, monkeypatch):
    class Broken:
        def run(self, stop):
            raise KeyError("bug")

    manager = build()
    manager.add_runnable(Broken())
    thread, box = run_in_thread(manager, monkeypatch)
    thread.join(10)

    assert box == [1]


def test_a_cache_that_does_not_sync_stops_the_process_with_exit_1(build, monkeypatch):
    manager = build(settings(cache_sync_timeout_s=0.1))
    controller = Controller("maps", Blocking())
    controller.watch(Cache(), for_object)
    manager.add_controller(controller)
    thread, box = run_in_thread(manager, monkeypatch)
    thread.join(10)

    assert box == [1]
    assert "ConfigMap" in str(manager._error)


def test_a_port_in_use_is_exit_1_and_not_a_traceback(build, monkeypatch):
    first = build()
    first.start()
    taken = first.port("probes")
    second = build(settings(health_probe_bind_address=f"127.0.0.1:{taken}"))
    thread, box = run_in_thread(second, monkeypatch)
    thread.join(10)

    assert box == [1]
    assert "choose another address" in str(second._error)


def test_run_ends_with_0_on_sigterm_and_restores_the_handlers(build):
    manager = build()
    before = signal.getsignal(signal.SIGTERM)
    threading.Timer(0.1, lambda: signal.raise_signal(signal.SIGTERM)).start()

    assert manager.run() == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_the_process_at_once(build):
    exits = []
    manager = build(exit_process=exits.append)

    manager._on_signal(signal.SIGTERM, None)
    assert exits == []
    manager._on_signal(signal.SIGTERM, None)

    assert exits == [1]


def test_events_that_wait_are_written_before_the_lease_goes(build, client):
    manager = build(fast_election())
    manager.start()
    wait_until(manager.may_write, 10, "leadership")
    about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u"}}
    for _ in range(3):
        manager.recorder("test").event(about, type="Normal", reason="R", action="A", note="n")
    manager.stop()

    wrote = [index for index, call in enumerate(client.calls) if " events " in call]
    released = max(index for index, call in enumerate(client.calls) if call == "replace leases test")
    assert wrote
    assert max(wrote) < released
