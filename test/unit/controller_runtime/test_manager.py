import http.client
import signal
import threading
import time

import pytest

from controller_runtime.controller import Controller, Request, Result, for_object
from controller_runtime.errors import FatalError, Forbidden, ServiceUnavailable
from controller_runtime.guard import NotLeading
from controller_runtime.manager import Manager
from controller_runtime.metrics import new_registry
from controller_runtime.resources import CONFIG_MAPS, LEASES
from controller_runtime.settings import OperatorSettings
from test.support.memory_client import MemoryClient
from test.support.processes import wait_until


def settings(**changes):
    return OperatorSettings(
        **{
            "metrics_bind_address": "127.0.0.1:0",
            "health_probe_bind_address": "127.0.0.1:0",
            "leader_election_namespace": "ns",
            "leader_elect": False,
            "graceful_shutdown_timeout_s": 20,
        }
        | changes
    )


def fast_election(**changes):
    return settings(leader_elect=True, lease_duration_s=3, renew_deadline_s=2, retry_period_s=0.2, **changes)


@pytest.fixture
def client():
    return MemoryClient()


@pytest.fixture
def build(client):
    """Makes managers, and stops at the end those that the test did not."""
    managers = []

    def make(chosen=None, **options):
        options.setdefault("lease_client", client)
        options.setdefault("exit_process", lambda code: pytest.fail(f"os._exit({code})"))
        manager = Manager(client, chosen or settings(), name="test", registry=new_registry(process=False), **options)
        managers.append(manager)
        return manager

    yield make
    for manager in managers:
        if manager._started and not manager._stopping.is_set():
            manager.stop()


class Recording:
    """Notes the order of things; a reconciler, a runnable and an informer's part at once."""

    def __init__(self):
        self.seen = []

    def runnable(self, name):
        def run(stop):
            self.seen.append(f"{name} started")
            stop.wait()
            self.seen.append(f"{name} stopped")

        return type("Runnable", (), {"run": staticmethod(run)})()


class Blocking:
    """A reconciler that stays inside until released."""

    def __init__(self):
        self.entered, self.release = threading.Event(), threading.Event()

    def reconcile(self, request):
        self.entered.set()
        self.release.wait(60)
        return Result()


class Cache:
    """Stands in for an informer whose list never comes until told."""

    resource = CONFIG_MAPS

    def __init__(self):
        self.synced = threading.Event()

    def add_handler(self, handler):
        return self

    def remove(self):
        pass

    def wait_for_sync(self, timeout_s):
        return self.synced.wait(timeout_s)

    def healthy(self):
        return None


def get(manager, path, server="probes"):
    connection = http.client.HTTPConnection("127.0.0.1", manager.port(server), timeout=10)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def run_in_thread(manager, monkeypatch):
    """`run` outside of the main thread, where Python forbids signal handlers."""
    monkeypatch.setattr(signal, "signal", lambda *_: signal.SIG_DFL)
    box = []
    thread = threading.Thread(target=lambda: box.append(manager.run()), daemon=True)
    thread.start()
    return thread, box


def test_probes_answer_before_caches_are_synced_and_readyz_turns_true_with_the_workers(build):
    manager, cache = build(), Cache()
    controller = Controller("maps", Blocking())
    controller.watch(cache, for_object)
    manager.add_controller(controller)
    manager.start()

    assert get(manager, "/healthz") == (200, "ok")
    status, text = get(manager, "/readyz?verbose")
    assert status == 500
    assert "[-]workers failed: waiting: start-maps" in text
    cache.synced.set()
    wait_until(lambda: get(manager, "/readyz") == (200, "ok"), 10, "readiness")
    assert manager.stop() == 0


def test_metrics_are_served_with_the_controllers_series(build):
    manager = build()
    manager.add_controller(Controller("maps", Blocking(), workers=3))
    manager.start()

    status, text = get(manager, "/metrics", "metrics")

    assert status == 200
    assert 'controller_runtime_max_concurrent_reconciles{controller="maps"} 3.0' in text
    assert 'controller_runtime_reconcile_total{controller="maps",result="success"} 0.0' in text


def test_servers_can_be_switched_off(build):
    manager = build(settings(metrics_bind_address="0", health_probe_bind_address="0"))
    manager.start()

    for server in ("probes", "metrics"):
        with pytest.raises(KeyError):
            manager.port(server)


def test_metrics_with_authorisation_turn_a_request_without_token_away(build):
    manager = build(settings(metrics_auth="kubernetes"))
    manager.start()

    assert get(manager, "/metrics", "metrics")[0] == 401


def test_runnables_that_need_the_lease_start_only_with_it_and_others_at_once(build, client):
    client.before = lambda *_: (_ for _ in ()).throw(ServiceUnavailable("down", code=503))
    manager, recording = build(fast_election()), Recording()
    manager.add_runnable(recording.runnable("leader's"))
    manager.add_runnable(recording.runnable("everybody's"), needs_leader=False)
    manager.start()
    wait_until(lambda: recording.seen, 10, "the first runnable")
    assert recording.seen == ["everybody's started"]
    assert get(manager, "/readyz") == (200, "ok"), "a standby is ready"

    client.before = lambda *_: None
    wait_until(lambda: len(recording.seen) == 2, 10, "leadership")

    assert recording.seen[1] == "leader's started"
    assert manager.may_write()


def test_without_the_lease_nothing_is_written_and_with_it_writes_pass(build, client):
    manager = build(fast_election())
    config_map = {"metadata": {"name": "m", "namespace": "ns"}}
    with pytest.raises(NotLeading):
        manager.client.create(CONFIG_MAPS, config_map)
    manager.start()
    wait_until(manager.may_write, 10, "leadership")

    assert manager.client.create(CONFIG_MAPS, config_map)["metadata"]["uid"]
    manager.stop()
    with pytest.raises(NotLeading):
        manager.client.delete(CONFIG_MAPS, "m", "ns")


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

    code = manager.stop()
    took_s = time.monotonic() - began
    reconciler.release.set()

    assert code == 1
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


def test_the_same_collection_is_watched_once_whoever_asks(build):
    manager = build()
    first = manager.informer(CONFIG_MAPS, namespace="ns")
    second = manager.informer(CONFIG_MAPS, namespace="ns", indexers={"app": lambda obj: ["x"]})

    assert first is second
    assert list(first.by_index("app", "x")) == []
    assert manager.informer(CONFIG_MAPS) is not first


def test_readyz_names_a_cache_that_is_refused(build, client):
    client.before = lambda *_: (_ for _ in ()).throw(Forbidden("may not list", code=403, reason="Forbidden"))
    manager = build()
    manager.informer(CONFIG_MAPS)
    manager.start()

    wait_until(
        lambda: "[-]caches failed: configmaps: not synced" in get(manager, "/readyz?verbose")[1], 10, "the reason"
    )


def test_own_checks_can_be_added_and_a_failing_one_shows(build):
    manager = build()
    manager.add_ready_check("catalogue", lambda: "no presets")
    manager.add_health_check("sanity", lambda: "insane")
    manager.start()

    assert "[-]catalogue failed: no presets" in get(manager, "/readyz?verbose")[1]
    assert get(manager, "/healthz/sanity")[0] == 500


def test_two_controllers_of_one_name_are_refused(build):
    manager = build()
    manager.add_controller(Controller("maps", Blocking()))
    with pytest.raises(ValueError, match="already"):
        manager.add_controller(Controller("maps", Blocking()))


@pytest.mark.parametrize(
    "late",
    [
        lambda manager: manager.start(),
        lambda manager: manager.add_runnable(Recording().runnable("x")),
        lambda manager: manager.add_controller(Controller("late", Blocking())),
        lambda manager: manager.informer(CONFIG_MAPS),
    ],
)
def test_nothing_can_be_added_once_the_manager_runs(build, late):
    manager = build()
    manager.start()
    with pytest.raises(RuntimeError, match="after the manager was started"):
        late(manager)
