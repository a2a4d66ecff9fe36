"""Managers for tests: on free ports, over a `MemoryClient`, with reconcilers and caches that obey the test."""

import http.client
import signal
import threading

import pytest

from controller_runtime.controller.controller import Result
from controller_runtime.manager.manager import Manager
from controller_runtime.metrics.registry import new_registry
from controller_runtime.resources import CONFIG_MAPS
from controller_runtime.settings import OperatorSettings


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


def managers(client):
    """For a fixture: gives what makes managers, and stops at the end those that the test did not."""
    made = []

    def make(chosen=None, **options):
        options.setdefault("lease_client", client)
        options.setdefault("exit_process", lambda code: pytest.fail(f"os._exit({code})"))
        api = options.pop("client", client)
        manager = Manager(api, chosen or settings(), name="test", registry=new_registry(process=False), **options)
        made.append(manager)
        return manager

    yield make
    for manager in made:
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
