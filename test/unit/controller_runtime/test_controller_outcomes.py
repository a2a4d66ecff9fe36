"""What each outcome of a reconcile means for its key, its failures and the metrics."""

import pytest

from controller_runtime.controller.controller import Request, Result
from controller_runtime.errors import (
    AlreadyExists,
    Conflict,
    FatalError,
    Forbidden,
    InternalError,
    TerminalError,
    TooManyRequests,
)
from test.support.controllers import FIRST_S, TICK_S, A, bench


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


def test_a_poisoned_object_is_parked_and_shown_while_others_go_on():
    shown = []
    it = bench(
        *[KeyError("bug")] * 5,
        on_poisoned=lambda request, error, retry_s: shown.append((request, repr(error), retry_s)),
    )
    it.step()

    assert it.runs_after(60) == 2
    assert [(str(request), error) for request, error, _ in shown] == [("ns/a", "KeyError('bug')")]
    assert 300 <= shown[0][2] <= 330
    it.controller.enqueue(Request("ns", "b"))
    it.step()
    assert it.reconciler.seen[-1] == "ns/b"


def test_a_parked_object_is_tried_again_at_an_event_and_after_a_while_and_forgotten_once_it_is_well():
    shown = []
    it = bench(*[KeyError("bug")] * 4, on_poisoned=lambda *parked: shown.append(parked))
    it.step()
    it.runs_after(1)
    it.controller.enqueue(A)
    it.step()

    assert len(shown) == 2
    assert it.runs_after(331) == 1
    assert it.count("reconcile_total", result="success") == 1
    it.reconciler.script = [KeyError("new")]
    it.controller.enqueue(A)
    it.step()
    assert len(shown) == 2, "one failure after a success parks nothing"


def test_a_hook_that_fails_itself_costs_no_worker():
    it = bench(*[KeyError("bug")] * 3, on_poisoned=lambda *_: 1 / 0)
    it.step()

    assert it.runs_after(60) == 2
    assert it.runs_after(331) == 1


def test_a_reconciler_that_returns_no_result_is_a_panic():
    it = bench(lambda _: None)
    it.step()

    assert it.count("reconcile_panics_total") == 1
