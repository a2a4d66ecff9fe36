import io
import json
import threading

import pytest

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.controller import Controller, Request, Result, for_object
from controller_runtime.errors import (
    AlreadyExists,
    Conflict,
    FatalError,
    Forbidden,
    InternalError,
    TerminalError,
    TooManyRequests,
)
from controller_runtime.logs import configure_logging, get_logger
from controller_runtime.metrics import ControllerMetrics, new_registry
from controller_runtime.resources import PODS
from controller_runtime.workqueue import LOW_PRIORITY
from test.support.fake_clock import FakeClock

A = Request("ns", "a")
TICK_S = 1 / 1024
FIRST_S = 8 * TICK_S
"""The first delay of the limiter under test. Powers of two, because their sums are exact."""


class Scripted:
    """A reconciler that plays a script: each entry is a Result, an exception to raise, or a callable."""

    def __init__(self, *script):
        self.script = list(script)
        self.seen = []

    def reconcile(self, request):
        self.seen.append(str(request))
        step = self.script.pop(0) if self.script else Result()
        if isinstance(step, BaseException):
            raise step
        return step(request) if callable(step) else step


class Source:
    """Stands in for an informer."""

    resource = PODS

    def __init__(self, *, syncs=True, reason=None):
        self.handlers, self.removed, self.syncs, self.reason = [], 0, syncs, reason

    def add_handler(self, handler):
        self.handlers.append(handler)
        return self

    def remove(self):
        self.removed += 1

    def wait_for_sync(self, timeout_s):
        return self.syncs

    def healthy(self):
        return self.reason


class Bench:
    """A controller with a fake clock, stepped by hand."""

    def __init__(self, *script, **options):
        self.clock = FakeClock()
        self.registry = new_registry(process=False)
        self.reconciler = Scripted(*script)
        self.fatal = []
        # No jitter, and delays that are sums of ticks, so that the series can be asserted exactly.
        options.setdefault("limiter", ItemExponentialLimiter(FIRST_S))
        self.controller = Controller("pods", self.reconciler, clock=self.clock, **options)
        self.controller.attach(ControllerMetrics(self.registry), self.fatal.append)

    def step(self):
        return self.controller.process_next()

    def runs_after(self, seconds):
        """How often the reconciler ran within the next `seconds`, which pass in ticks, or in whole seconds when there are many."""
        before, end = len(self.reconciler.seen), self.clock.monotonic() + seconds
        while self.step():
            pass
        while self.clock.monotonic() < end:
            self.clock.advance(1.0 if end - self.clock.monotonic() > 20 else TICK_S)
            while self.step():
                pass
        return len(self.reconciler.seen) - before

    def count(self, name, **labels):
        return self.registry.get_sample_value(f"controller_runtime_{name}", {"controller": "pods", **labels})


def bench(*script, **options):
    it = Bench(*script, **options)
    it.controller.enqueue(A)
    return it


def test_success_is_counted_and_nothing_comes_back():
    it = bench(Result())

    assert it.step()
    assert it.runs_after(3600) == 0
    assert it.count("reconcile_total", result="success") == 1
    assert it.count("reconcile_errors_total") == 0


def test_requeue_after_brings_the_key_back_then_and_forgets_its_failures():
    it = bench(InternalError("x"), Result(requeue_after_s=60), InternalError("x"))
    it.step()
    assert it.runs_after(FIRST_S) == 1
    assert it.runs_after(60 - TICK_S) == 0
    # The run at 60 s fails, and its retry comes after the first delay again, not after the second.
    assert it.runs_after(TICK_S + FIRST_S) == 2
    assert it.count("reconcile_total", result="requeue_after") == 1


@pytest.mark.parametrize("nothing", [0, -5, None])
def test_a_requeue_after_of_nothing_is_plain_success(nothing):
    it = bench(Result(requeue_after_s=nothing))
    it.step()

    assert it.runs_after(3600) == 0
    assert it.count("reconcile_total", result="success") == 1


def test_transient_errors_back_off_exponentially():
    it = bench(*[InternalError("down")] * 4)
    it.step()

    for delay_s in (FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S):
        assert it.runs_after(delay_s - TICK_S) == 0
        assert it.runs_after(TICK_S) == 1
    assert it.count("reconcile_total", result="error") == 4
    assert it.count("reconcile_errors_total") == 4
    assert it.count("reconcile_panics_total") == 0


def test_retry_after_is_honoured_when_it_is_longer_than_the_backoff():
    it = bench(TooManyRequests("slow down", retry_after_s=7.0))
    it.step()

    assert it.runs_after(7 - TICK_S) == 0
    assert it.runs_after(TICK_S) == 1


@pytest.mark.parametrize("conflict", [Conflict("changed"), AlreadyExists("there")])
def test_a_conflict_comes_back_quickly_whatever_failures_went_before(conflict):
    it = bench(*[InternalError("down")] * 10, conflict)
    it.step()
    assert it.runs_after(1023 * FIRST_S) == 10

    # Another failure would wait for 1024 times as long.
    assert it.runs_after(FIRST_S) == 1
    assert it.count("reconcile_errors_total") == 11


def test_endless_conflicts_slow_down():
    it = bench(*[Conflict("changed")] * 100)
    it.step()

    runs = it.runs_after(10)

    assert 5 <= runs <= 12, "ten seconds of doubling pauses from 5 ms"


def test_a_terminal_error_is_forgotten_and_not_retried_until_something_changes():
    it = bench(InternalError("x"), InternalError("x"), TerminalError("bad spec"), InternalError("x"))
    it.step()
    assert it.runs_after(3 * FIRST_S) == 2

    assert it.runs_after(10_000) == 0
    assert it.count("terminal_reconcile_errors_total") == 1
    assert it.count("reconcile_errors_total") == 3
    it.controller.enqueue(A)
    assert it.runs_after(0) == 1
    assert it.runs_after(FIRST_S) == 1, "the first failure after a terminal error waits the shortest time again"


def test_a_refusal_by_the_api_server_is_retried_slowly_because_nothing_announces_its_cure():
    it = bench(Forbidden("no", code=403))
    it.step()

    assert it.runs_after(60 - TICK_S) == 0
    assert it.runs_after(TICK_S) == 1
    assert it.count("terminal_reconcile_errors_total") == 1


def test_a_fatal_error_is_handed_to_the_manager_and_the_key_is_not_retried():
    error = FatalError("lease lost")
    it = bench(error)
    it.step()

    assert it.fatal == [error]
    assert it.runs_after(3600) == 0


@pytest.mark.parametrize(
    "escape", [KeyError("bug"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()]
)
def test_whatever_a_reconciler_raises_is_a_panic_that_is_retried_and_the_worker_survives(escape):
    it = bench(escape)

    assert it.step()
    assert it.runs_after(FIRST_S) == 1
    assert it.count("reconcile_panics_total") == 1
    assert it.count("reconcile_total", result="error") == 1
    assert it.count("reconcile_total", result="success") == 1


def test_a_reconciler_that_returns_no_result_is_a_panic():
    it = bench(lambda _: None)
    it.step()

    assert it.count("reconcile_panics_total") == 1


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
