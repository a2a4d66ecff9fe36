"""Waiting at start-up for what others bring: the API server, a cloud that answers, a CRD that is being installed.

Operators are often started together with what they need. A process that gives up at once is restarted with ever longer pauses by the
kubelet, which takes longer and says less than waiting here for a while. Only for `main` and the set-up behind it: nothing in a reconcile
waits, its failures go back to the queue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential_jitter

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import TransientApiError
from controller_runtime.logs import get_logger

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
PATIENCE_S = 60.0
"""As long as a kubelet waits before its first probes of a process that starts slowly; then the error is worth a restart."""

log = get_logger(__name__)

T = TypeVar("T")


def is_transient(error: BaseException) -> bool:
    """Refused connections, 429 and 5xx of the API server; anything that a later try of the same request may not meet."""
    return isinstance(error, TransientApiError)


def patiently(
    call: Callable[[], T],
    what: str,
    *,
    worth_another_try: Callable[[BaseException], bool] = is_transient,
    patience_s: float = PATIENCE_S,
    clock: Clock = SYSTEM_CLOCK,
) -> T:
    """The result of `call`, which must be safe to repeat; tried again for `patience_s` seconds, then its last error is raised.

    Pauses are 0.5 s doubling to 10 s, with up to half a second of jitter. `what` says in the log what is waited for.
    """

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause_s = round(state.upcoming_sleep, 1)
        log.warning("waiting", what=what, error=str(error), attempt=state.attempt_number, retry_in_s=pause_s)

    began = clock.monotonic()
    retrying = Retrying(
        retry=retry_if_exception(worth_another_try),
        wait=wait_exponential_jitter(multiplier=FIRST_PAUSE_S, max=LONGEST_PAUSE_S, jitter=FIRST_PAUSE_S),
        stop=lambda _: clock.monotonic() - began >= patience_s,
        before_sleep=say,
        sleep=lambda seconds: _pause(clock, seconds),
        reraise=True,
    )
    return retrying(call)


def _pause(clock: Clock, seconds: float) -> None:
    clock.wait_event(threading.Event(), seconds)
