"""A controller: sources, workers, stopping, and how it shows that it is stuck."""

import io
import json
import threading

import pytest

from controller_runtime.controller.controller import Controller, Request, Result, for_object
from controller_runtime.errors import (
    FatalError,
    InternalError,
)
from controller_runtime.logs import configure_logging, get_logger
from controller_runtime.queue.workqueue import LOW_PRIORITY
from test.support.controllers import FIRST_S, A, Bench, Scripted, Source, bench


def test_an_error_of_one_key_does_not_delay_another():
    it = bench(InternalError("x"))
    it.step()
    it.controller.enqueue(Request("ns", "b"))

    assert it.step()
    assert it.reconciler.seen == ["ns/a", "ns/b"]


def test_a_requeue_keeps_the_priority_the_key_was_taken_with_and_a_result_can_override_it():
    it = Bench(Result(requeue_after_s=1), Result(requeue_after_s=1, priority=7))
    it.controller.enqueue(Request("ns", "kept"), priority=LOW_PRIORITY)
    it.step()
    it.controller.enqueue(Request("ns", "raised"), priority=LOW_PRIORITY)
    it.step()
    it.clock.advance(1)

    depth = {
        sample.labels["priority"]: sample.value
        for family in it.registry.collect()
        for sample in family.samples
        if sample.name == "workqueue_depth"
    }
    assert depth == {"0": 0, "-100": 1, "7": 1}


def test_events_during_a_reconcile_lead_to_one_more_run_after_it():
    it = Bench()
    it.reconciler.script = [
        lambda request: (it.controller.enqueue(request), it.controller.enqueue(request), Result())[2]
    ]
    it.controller.enqueue(A)
    it.step()

    assert it.runs_after(0) == 1
    assert it.runs_after(0) == 0


def test_all_result_labels_are_there_at_zero_before_the_first_reconcile():
    it = Bench(workers=3)

    for result in ("success", "error", "requeue", "requeue_after"):
        assert it.count("reconcile_total", result=result) == 0
    assert it.count("max_concurrent_reconciles") == 3
    assert it.count("active_workers") == 0


def test_a_stepped_controller_hears_of_its_informer_without_being_started():
    it, source = Bench(), Source()
    it.controller.watch(source, for_object)
    it.step()
    source.handlers[0].on_add({"metadata": {"name": "p", "namespace": "ns"}}, True)

    assert it.step()
    assert it.reconciler.seen == ["ns/p"]


def test_a_cache_that_does_not_sync_is_a_fatal_error_naming_kind_and_reason():
    it, source = Bench(cache_sync_timeout_s=120), Source(syncs=False, reason="403 Forbidden")
    it.controller.watch(source, for_object)

    with pytest.raises(
        FatalError, match=r"controller pods: the cache of Pod \(pods\) did not sync within 120 s: 403 Forbidden"
    ):
        it.controller.start()
    assert it.controller._threads == [], "workers must not start before every source has synced"
    it.controller.stop(1)


def test_a_second_start_is_an_error():
    controller = Controller("pods", Scripted())
    controller.start()
    with pytest.raises(RuntimeError, match="twice"):
        controller.start()
    controller.stop(10)


def test_workers_run_at_most_as_many_reconciles_as_allowed_and_never_one_key_twice():
    lock, together, keys_now, overlaps = threading.Lock(), [0, 0], set(), []
    started = threading.Semaphore(0)
    release = threading.Event()

    class Slow:
        def reconcile(self, request):
            with lock:
                if request in keys_now:
                    overlaps.append(request)
                keys_now.add(request)
                together[0] += 1
                together[1] = max(together)
            started.release()
            release.wait(30)
            with lock:
                keys_now.discard(request)
                together[0] -= 1
            return Result()

    controller = Controller("slow", Slow(), workers=3)
    controller.start()
    for number in range(8):
        controller.enqueue(Request("ns", str(number)))
    for _ in range(3):
        assert started.acquire(timeout=10)
    for number in range(8):
        controller.enqueue(Request("ns", str(number)))
    assert not started.acquire(timeout=0.1), "a fourth reconcile began beside three workers"
    release.set()
    for _ in range(5):
        assert started.acquire(timeout=10)
    assert controller.stop(10) == []

    assert together[1] == 3
    assert overlaps == []


def test_stop_waits_for_the_running_reconcile_drops_the_rest_and_unregisters():
    entered, release = threading.Event(), threading.Event()

    def block(_request):
        entered.set()
        release.wait(30)
        return Result()

    reconciler, source = Scripted(block), Source()
    controller = Controller("pods", reconciler)
    controller.watch(source, for_object)
    controller.start()
    controller.enqueue(A)
    assert entered.wait(10)
    controller.enqueue(Request("ns", "b"))

    assert controller.stop(0.05) == [A], "the held key is named when the deadline passes"
    release.set()
    assert controller.stop(10) == []

    assert reconciler.seen == ["ns/a"]
    assert source.removed == 1


def test_a_reconcile_over_its_budget_is_counted_while_it_runs_and_its_key_rests_whatever_wakes_it():
    it = Bench(budget_s=30)
    counted = []

    def slow(_request):
        it.clock.advance(40)
        it.controller.unhealthy()
        counted.append(it.count("reconcile_timeouts_total"))
        return Result()

    it.reconciler.script = [slow]
    it.controller.enqueue(A)
    it.step()
    it.controller.enqueue(A)

    assert counted == [1]
    assert it.runs_after(3 * 40 - 1) == 0
    it.controller.enqueue(Request("ns", "other"))
    assert it.runs_after(0) == 1, "others are not kept waiting"
    assert it.runs_after(1) == 1


def test_a_worker_that_is_stuck_makes_the_controller_unhealthy_and_counts_one_timeout():
    it = Bench(stuck_after_s=300)
    reports = []

    def overstay(_request):
        it.clock.advance(301)
        reports.extend([it.controller.unhealthy(), it.controller.unhealthy()])
        return Result()

    it.reconciler.script = [overstay]
    it.controller.enqueue(A)
    it.step()

    assert reports == ["controller pods: a worker is stuck at ns/a for 301 s"] * 2
    assert it.count("reconcile_timeouts_total") == 1
    assert it.controller.unhealthy() is None


def test_a_controller_without_workers_is_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        Controller("pods", Scripted(), workers=0)


def test_a_watch_after_the_start_is_refused():
    controller = Controller("pods", Scripted())
    controller.start()
    with pytest.raises(RuntimeError, match="after start"):
        controller.watch(Source(), for_object)
    controller.stop(10)


def test_every_line_of_a_reconcile_carries_controller_object_and_a_fresh_reconcile_id():
    stream = io.StringIO()
    configure_logging("info", "json", stream)

    def speak(_request):
        get_logger("deep.inside").info("looking")
        raise InternalError("down")

    it = bench(speak, speak)
    it.step()
    it.runs_after(FIRST_S)

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(line["controller"], line["namespace"], line["name"]) for line in lines} == {("pods", "ns", "a")}
    assert [line["event"] for line in lines] == ["looking", "reconcile failed, trying again"] * 2
    assert lines[0]["reconcile_id"] == lines[1]["reconcile_id"] != lines[2]["reconcile_id"]
