"""What the outcome of a reconcile means for its key, its failures and the metrics.

| the reconciler                     | the key                                             | `reconcile_total{result}` |
| returns `Result()`                 | is done; its failures are forgotten                 | success                   |
| returns `Result(requeue_after_s)`  | comes back then; its failures are forgotten         | requeue_after             |
| raises a conflict (409)            | comes back at once, slower if it goes on            | error                     |
| raises anything transient          | backs off, at least as long as Retry-After asked    | error                     |
| raises `TerminalError`             | stays away until something changes; forgotten       | error, terminal           |
| raises a terminal API error        | comes back slowly, for nothing announces its cure   | error, terminal           |
| raises something it did not mean   | backs off; the third time in a row it is parked     | error, panic              |
| raises `FatalError`                | nothing: the manager stops the process              | error                     |

A parked key is tried again after five minutes, or when something wakes it, and its object says so where the program gave a hook for that:
one object that no code foresaw must cost neither the others their turn nor its author the explanation.

Called while the worker still holds the key: re-adding comes before `done`, so a key never runs twice at the same time.
"""

from __future__ import annotations

from collections.abc import Callable

from controller_runtime.backoff import ItemExponentialLimiter
from controller_runtime.controller.reconcile import Request, Result
from controller_runtime.errors import ApiError, ControllerRuntimeError, Meaning, TerminalError, meaning_of
from controller_runtime.logs import get_logger
from controller_runtime.metrics.registry import BoundControllerMetrics
from controller_runtime.queue.workqueue import WorkQueue

TERMINAL_RETRY_S = 60.0
PARK_AFTER = 3
"""Unforeseen exceptions in a row after which a key is parked. The first may be bad luck, such as an object seen half-written."""
PARKED_RETRY_S = 300.0
RETRY_JITTER = 0.1

OnPoisoned = Callable[[Request, BaseException, float], None]
"""Told of a key that is parked: the request, what was raised, and in how many seconds it is tried again."""

log = get_logger(__name__)


class Outcomes:
    """The outcomes of one controller. Thread-safe, as its queue and metrics are."""

    def __init__(
        self,
        queue: WorkQueue[Request],
        metrics: BoundControllerMetrics,
        on_fatal: Callable[[BaseException], None],
        on_poisoned: OnPoisoned | None = None,
    ) -> None:
        """`on_fatal` is told what the process must stop for, `on_poisoned` which key is parked."""
        self._queue = queue
        self._metrics = metrics
        self._on_fatal = on_fatal
        self._on_poisoned = on_poisoned
        self._unforeseen: dict[Request, int] = {}
        self._conflicts = ItemExponentialLimiter(jitter=RETRY_JITTER)

    def succeeded(self, request: Request, result: Result) -> None:
        self._forget(request)
        if result.requeue_after_s is None or result.requeue_after_s <= 0:
            self._metrics.results["success"].inc()
            return
        self._metrics.results["requeue_after"].inc()
        priority = self._queue.priority_of(request) if result.priority is None else result.priority
        self._queue.add(request, priority=priority, after_s=result.requeue_after_s)

    def failed(self, request: Request, error: BaseException) -> None:
        self._metrics.results["error"].inc()
        self._metrics.errors.inc()
        meaning = meaning_of(error)
        if meaning is Meaning.FATAL:
            log.error("fatal error, the process stops", error=str(error))
            self._on_fatal(error)
        elif meaning is Meaning.TERMINAL:
            self._give_up(request, error)
        elif meaning is Meaning.CONFLICT:
            delay_s = self._retry(request, self._conflicts.when(request))
            log.debug("conflict, reading again", error=str(error), retry_in_s=delay_s)
        else:
            self._back_off(request, error)

    def _give_up(self, request: Request, error: BaseException) -> None:
        self._metrics.terminal_errors.inc()
        self._forget(request)
        if isinstance(error, TerminalError):
            log.error("terminal error, waiting for a change", error=str(error))
            return
        log.error("refused, trying again slowly", error=str(error), retry_in_s=self._retry(request, TERMINAL_RETRY_S))

    def _back_off(self, request: Request, error: BaseException) -> None:
        if not isinstance(error, ControllerRuntimeError):
            self._meet_unforeseen(request, error)
            return
        asked_s = error.retry_after_s if isinstance(error, ApiError) else None
        delay_s = self._retry(request, max(self._queue.next_delay_s(request), asked_s or 0.0))
        log.warning("reconcile failed, trying again", error=str(error), retry_in_s=delay_s)

    def _meet_unforeseen(self, request: Request, error: BaseException) -> None:
        self._metrics.panics.inc()
        times = self._unforeseen[request] = self._unforeseen.get(request, 0) + 1
        if times < PARK_AFTER:
            delay_s = self._retry(request, self._queue.next_delay_s(request))
            log.error("reconcile raised something unforeseen, trying again", exc_info=error, retry_in_s=delay_s)
            return
        delay_s = self._retry(request, PARKED_RETRY_S)
        news = error if times == PARK_AFTER else None  # Its traceback once, and not for each event that wakes it.
        kind = type(error).__name__
        log.error("reconcile goes on failing, the object is parked", error=kind, exc_info=news, retry_in_s=delay_s)
        if self._on_poisoned is None:
            return
        try:
            self._on_poisoned(request, error, delay_s)
        except Exception as failure:
            log.warning("cannot show that the object is parked", error=f"{type(failure).__name__}: {failure}"[:300])

    def _retry(self, request: Request, delay_s: float) -> float:
        self._queue.add(request, priority=self._queue.priority_of(request), after_s=delay_s)
        return round(delay_s, 3)

    def _forget(self, request: Request) -> None:
        self._queue.forget(request)
        self._conflicts.forget(request)
        self._unforeseen.pop(request, None)
