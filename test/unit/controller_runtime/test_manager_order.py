"""The whole order in which a manager starts and stops, written down by everything that takes part in it."""

import http.client
import threading

from controller_runtime.client.api import ObjectList
from controller_runtime.controller.controller import Controller, Request, Result, for_object
from controller_runtime.resources import CONFIG_MAPS, LEASES
from test.support.managers import fast_election, get, managers
from test.support.memory_client import MemoryClient
from test.support.processes import wait_until


class Diary:
    """What happened, in order; written from any thread."""

    def __init__(self):
        self.lines = []

    def note(self, line):
        if line not in self.lines:
            self.lines.append(line)


class QuietWatch:
    """A watch on which nothing happens until it is stopped."""

    def __init__(self, on_stop):
        self._on_stop, self._stopped = on_stop, threading.Event()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def batches(self):
        self._stopped.wait(60)
        return iter(())

    def stop(self):
        if not self._stopped.is_set():
            self._on_stop()
        self._stopped.set()


class Cluster(MemoryClient):
    """Lists nothing, watches quietly, and tells the diary of Leases, Events and the end of the watch."""

    def __init__(self, diary):
        super().__init__()
        self.diary, self.on_cache_stop, self.watching = diary, lambda: None, threading.Event()
        self.after = self._after

    def list(self, resource, *_, **__):
        return ObjectList([], "1") if resource is CONFIG_MAPS else super().list(resource)

    def watch(self, *_, **__):
        self.diary.note("cache: watching")
        self.watching.set()
        return QuietWatch(self._cache_stops)

    def _cache_stops(self):
        self.on_cache_stop()
        self.diary.note("cache: stopped")

    def _after(self, verb, resource, name):
        if resource is LEASES:
            held = self._objects[("leases", "ns", name)]["spec"]["holderIdentity"]
            self.diary.note("lease: held" if held else "lease: released")
        elif verb == "create" and resource.plural == "events":
            self.diary.note(f"event: {len([call for call in self.calls if call.startswith('create events')])}")


class Slow:
    """A reconciler that is in the middle of something when the stop comes."""

    def __init__(self, diary):
        self.diary, self.entered, self.release = diary, threading.Event(), threading.Event()

    def reconcile(self, request):
        self.diary.note("worker: busy")
        self.entered.set()
        self.release.wait(60)
        self.diary.note("worker: done")
        return Result()


class Sweep:
    """A runnable that notes its own life."""

    def __init__(self, diary, name):
        self.diary, self.name = diary, name

    def run(self, stop):
        self.diary.note(f"{self.name}: started")
        stop.wait(60)
        self.diary.note(f"{self.name}: stopped")


def test_the_whole_order_of_start_and_stop():
    diary = Diary()
    client, reconciler = Cluster(diary), Slow(diary)
    make = managers(client)
    manager = next(make)(fast_election())
    controller = Controller("maps", reconciler)
    controller.watch(manager.informer(CONFIG_MAPS), for_object)
    manager.add_controller(controller)
    manager.add_runnable(Sweep(diary, "everybody's sweep"), needs_leader=False)
    manager.add_runnable(Sweep(diary, "leader's sweep"))
    manager.start()
    assert client.watching.wait(10)
    wait_until(lambda: {"event: 1", "leader's sweep: started"} <= set(diary.lines), 10, "leadership")
    wait_until(lambda: get(manager, "/readyz")[0] == 200, 10, "readiness")
    controller.enqueue(Request("ns", "a"))
    assert reconciler.entered.wait(10)
    started = list(diary.lines)
    probes = manager.port("probes")
    client.on_cache_stop = lambda: diary.note(f"probe: {get(manager, '/readyz')[0]} while the cache stops")

    stopping = threading.Thread(target=lambda: diary.note(f"exit code {manager.stop()}"))
    stopping.start()
    sweeps = {"everybody's sweep: stopped", "leader's sweep: stopped"}
    wait_until(lambda: sweeps <= set(diary.lines), 10, "the runnables")
    assert "lease: released" not in diary.lines, "the worker is still busy"
    reconciler.release.set()
    stopping.join(20)

    before_leading = started.index("lease: held")
    assert started.index("everybody's sweep: started") < before_leading
    assert started[before_leading:].index("leader's sweep: started") > 0
    assert started[-1] == "worker: busy"
    stopped = diary.lines[len(started) :]
    assert set(stopped[:2]) == sweeps
    assert stopped[2:] == [
        "worker: done",
        "event: 2",
        "lease: released",
        "probe: 500 while the cache stops",
        "cache: stopped",
        "exit code 0",
    ]
    refused = http.client.HTTPConnection("127.0.0.1", probes, timeout=5)
    try:
        refused.connect()
        raise AssertionError("the probe server still listens")
    except ConnectionRefusedError:
        refused.close()
