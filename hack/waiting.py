"""Waiting for what another process does: looks again and again, always bounded, and fails with what it saw last.

The one wait of tools and tests; tenacity keeps the time. Not for the operators: at start-up they have `controller_runtime.startup`, and
nothing in a reconcile waits. Nor for what can be woken (`Event.wait`, `Popen.wait`), which needs no looking again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, stop_any, wait_fixed

T = TypeVar("T")


def until(
    look: Callable[[], T],
    timeout_s: float,
    *,
    late: Callable[[T], BaseException],
    over: Callable[[], bool] = lambda: False,
    step_s: float = 0.1,
) -> T:
    """The first truthy result of `look`, which is called at least once, and again `step_s` seconds after each falsy result.

    `late` makes what is raised of the last result, after `timeout_s` seconds or when `over` says that nothing can come any more. What
    `look` raises ends the wait.
    """

    def give_up(state: RetryCallState) -> NoReturn:
        assert state.outcome is not None
        raise late(state.outcome.result())

    return Retrying(
        retry=retry_if_result(lambda found: not found),
        wait=wait_fixed(step_s),
        stop=stop_any(stop_after_delay(timeout_s), lambda _: over()),
        retry_error_callback=give_up,
    )(look)
