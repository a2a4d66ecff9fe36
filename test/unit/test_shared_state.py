"""What all workers share survives many of them: no table changes under somebody's hands, and nothing is lost.

Each case is a step that one worker does over and over, with real threads and the interpreter switching as often as it can. The table of
absences and the list of secrets, each walked over by one thread while others changed it, raised "changed size during iteration" here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from controller_runtime.cache.consistency import Consistency
from controller_runtime.clock import SYSTEM_CLOCK
from controller_runtime.controller.controller import Controller
from controller_runtime.controller.reconcile import Request, Result
from controller_runtime.manager.runnables import Runnables
from controller_runtime.resources import CONFIG_MAPS, PODS
from kaito_controller.workspace.act.drift_backoff import DriftBackoff
from kaito_controller.workspace.act.node_marks import NodeReservations
from kaito_controller.workspace.observe.onsets import Absences
from kaito_controller.workspace.observe.pod_rejections import STALE_AFTER, PodRejections
from test.support.fake_clock import FakeClock
from test.support.memory_client import MemoryClient

WORKERS = 8
ROUNDS = 200

Step = Callable[[int, int], None]
"""Called with the worker's number and the round's."""


@pytest.fixture(autouse=True)
def _switching_all_the_time() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(step: Step) -> None:
    """Every worker does all rounds; the first error of any of them is raised here."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(WORKERS)

    def work(worker: int) -> None:
        try:
            barrier.wait(10)
            for number in range(ROUNDS):
                step(worker, number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    if errors:
        raise errors[0]


def test_absences_come_and_go_while_others_are_forgotten() -> None:
    absences, now = Absences(), SYSTEM_CLOCK.now()
    for other in range(300):
        absences.since(f"stays-{other}", ["machine"], now)

    def step(worker: int, number: int) -> None:
        uid = f"{worker}-{number}"
        later = now + timedelta(seconds=number)
        assert absences.since(uid, ["a", "b"], now) == {"a": now, "b": now}
        assert absences.since(uid, ["b"], later) == {"b": now}
        absences.forget(uid)
        assert absences.since(uid, ["b"], later) == {"b": later}

    at_once(step)

    assert absences.since("stays-7", ["machine"], now + timedelta(hours=1)) == {"machine": now}


def test_inquiries_begin_while_overdue_ones_are_dropped() -> None:
    clock = FakeClock()
    refusals = PodRejections(MemoryClient(), clock)

    def step(worker: int, number: int) -> None:
        workload = {
            "kind": "StatefulSet",
            "metadata": {"name": "phi", "namespace": "team", "uid": f"{worker}-{number}"},
            "spec": {"replicas": 1},
        }
        assert refusals.of(workload, []).message == ""
        if number % 50 == 49:
            clock.advance(STALE_AFTER.total_seconds())

    at_once(step)


def test_probes_look_while_controllers_start_and_end() -> None:
    class Nothing:
        def reconcile(self, request: Request) -> Result:
            return Result()

    stopping = threading.Event()
    stopping.set()  # A controller that is started twice says so; here that is meant.
    runnables = Runnables(stopping, lambda error: None, SYSTEM_CLOCK)
    for number in range(5):
        runnables.add_controller(Controller(f"c{number}", Nothing()))

    def step(worker: int, number: int) -> None:
        if worker == 0 and number % 8 == 0:
            runnables.start(needs_leader=True)
        else:
            runnables.not_ready()

    at_once(step)

    assert runnables.stop(SYSTEM_CLOCK.monotonic() + 10) == []


def test_writes_are_noted_and_forgotten_by_many() -> None:
    class Behind:
        def get(self, name: str, namespace: str | None = None) -> None:
            return None

        def by_index(self, index: str, value: str) -> list[dict[str, object]]:
            return []

        def has_seen(self, resource_version: str) -> bool:
            return int(resource_version) % 2 == 0

    writes = Consistency({PODS: Behind(), CONFIG_MAPS: Behind()}, SYSTEM_CLOCK)

    def step(worker: int, number: int) -> None:
        uid = f"{worker}-{number % 7}"
        writes.note(uid, [(PODS, "1"), (CONFIG_MAPS, "2")])
        assert not writes.are_visible(uid)
        writes.forget(uid)
        assert writes.are_visible(uid)

    at_once(step)


def test_nodes_are_reserved_by_one_at_a_time() -> None:
    reservations, holders = NodeReservations(), []

    def step(worker: int, number: int) -> None:
        names = [f"node-{(number + shift) % 5}" for shift in range(3)]
        if reservations.reserve(names, f"w{worker}"):
            holders.append(worker)
            assert not reservations.reserve(names, "somebody else")
            reservations.settle(names, f"w{worker}")

    at_once(step)

    assert holders


def test_repairs_are_noted_for_many_objects_at_once() -> None:
    repairs = DriftBackoff(SYSTEM_CLOCK)

    def step(worker: int, number: int) -> None:
        live = {"metadata": {"uid": f"{worker}-{number % 5}", "labels": {}}, "spec": {"replicas": 2}}
        stored = {**live, "spec": {"replicas": 1}}
        repairs.note(live, stored)
        assert repairs.due_in_s(stored) is None
        repairs.forget(f"{worker}-{number % 5}")
        assert repairs.due_in_s(live) == 0.0

    at_once(step)
