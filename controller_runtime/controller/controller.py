"""A controller: watches feed a queue, workers take keys from it and call the reconciler; what comes next is decided in `outcomes`.

    informer -> predicate -> mapper -> queue -> worker -> reconciler -> outcomes -> queue

A controller can be stepped by hand (`process_next`), which is how its reconciler is tested. The names of the neighbouring modules that a
program needs beside it (mappers, predicates, `Request`, `Result`) can be imported from here.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Protocol

from controller_runtime.backoff import ItemExponentialLimiter, Limiter
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.controller.budget import BUDGET_S, Budget
from controller_runtime.controller.handlers import (
    Change,
    EnqueueingHandler,
    Mapper,
    Predicate,
    for_object,
    for_owner,
    generation_changed,
)
from controller_runtime.controller.outcomes import RETRY_JITTER, OnPoisoned, Outcomes
from controller_runtime.controller.reconcile import Reconciler, Request, Result
from controller_runtime.errors import FatalError
from controller_runtime.logs import get_logger, reconcile_context
from controller_runtime.metrics.registry import ControllerMetrics, new_registry
from controller_runtime.queue.workqueue import ShutDown, WorkQueue
from controller_runtime.resources import Resource

__all__ = [
    "Change",
    "Controller",
    "EnqueueingHandler",
    "Mapper",
    "Predicate",
    "Reconciler",
    "Request",
    "Result",
    "for_object",
    "for_owner",
    "generation_changed",
]

CACHE_SYNC_TIMEOUT_S = 120.0
STUCK_AFTER_S = 300.0
"""A worker that is busy with one key for so long makes the process unhealthy."""

log = get_logger(__name__)


class Removable(Protocol):
    """A handler's tie to an informer."""

    def remove(self) -> None: ...


class Source(Protocol):
    """What a controller needs of an informer."""

    @property
    def resource(self) -> Resource: ...
    def add_handler(self, handler: EnqueueingHandler) -> Removable: ...
    def wait_for_sync(self, timeout_s: float) -> bool: ...
    def healthy(self) -> str | None: ...


class Controller:
    """See the module. Threads exist only between `start` and `stop`; `process_next` steps it without any."""

    def __init__(
        self,
        name: str,
        reconciler: Reconciler,
        *,
        workers: int = 1,
        clock: Clock = SYSTEM_CLOCK,
        limiter: Limiter | None = None,
        metrics: ControllerMetrics | None = None,
        needs_leader: bool = True,
        cache_sync_timeout_s: float | None = None,
        stuck_after_s: float = STUCK_AFTER_S,
        budget_s: float = BUDGET_S,
        on_poisoned: OnPoisoned | None = None,
    ) -> None:
        """`limiter` defaults to 5 ms doubling to 1000 s per key, with 10 % jitter. `workers` is the greatest number of reconciles
        at a time. A manager replaces `metrics` by its own. `stuck_after_s`: a longer reconcile makes the controller unhealthy.
        `budget_s`: a longer one is named, and its key rests (see `budget`). `on_poisoned` shows at an object that it is parked.
        """
        if workers < 1:
            raise ValueError(f"controller {name}: workers is {workers}, it must be at least 1")
        self.name = name
        self.workers = workers
        self.needs_leader = needs_leader
        self._reconciler = reconciler
        self._clock = clock
        self._own_sync_timeout_s = cache_sync_timeout_s
        self._stuck_after_s = stuck_after_s
        self._budget_s = budget_s
        self._on_poisoned = on_poisoned
        self._ended = threading.Event()
        limiter = ItemExponentialLimiter(jitter=RETRY_JITTER) if limiter is None else limiter
        self._queue: WorkQueue[Request] = WorkQueue(name, limiter=limiter, clock=clock)
        self._sources: list[tuple[Source, EnqueueingHandler]] = []
        self._connected = 0
        self._registrations: list[Removable] = []
        self._threads: list[threading.Thread] = []
        self._started = False
        self._lock = threading.Lock()
        self.attach(metrics or ControllerMetrics(new_registry(process=False)), lambda _: None)

    def attach(
        self,
        metrics: ControllerMetrics,
        on_fatal: Callable[[BaseException], None],
        cache_sync_timeout_s: float = CACHE_SYNC_TIMEOUT_S,
    ) -> None:
        """Called by the manager before start: where to count, whom to tell that the process must stop, and how long caches may take
        when the controller itself does not say."""
        self._metrics = metrics.for_controller(self.name, self.workers)
        metrics.queues.add(self.name, self._queue.stats)
        self._outcomes = Outcomes(self._queue, self._metrics, on_fatal, self._on_poisoned)
        self._budget = Budget(self.name, self._queue, self._metrics, self._clock, self._budget_s)
        self._sync_timeout_s = cache_sync_timeout_s if self._own_sync_timeout_s is None else self._own_sync_timeout_s

    def watch(self, informer: Source, mapper: Mapper, *, predicate: Predicate | None = None) -> None:
        """Queue what `mapper` names whenever an object of `informer` changes (and `predicate`, if given, passes)."""
        if self._started:
            raise RuntimeError(f"controller {self.name}: watch() after start()")
        handler = EnqueueingHandler(
            mapper, predicate, lambda request, priority: self.enqueue(request, priority=priority)
        )
        self._sources.append((informer, handler))

    def enqueue(self, request: Request, *, priority: int = 0, after_s: float | None = None) -> None:
        """Ask for a reconcile from outside of any watch."""
        self._queue.add(request, priority=priority, after_s=after_s)

    def start(self) -> None:
        """Wait until every watched cache is synced, then start the workers. Raises FatalError naming a kind that does not sync."""
        if self._started:
            raise RuntimeError(f"controller {self.name} was started twice")
        self._started = True
        self._connect()
        deadline = self._clock.monotonic() + self._sync_timeout_s
        for informer, _ in self._sources:
            self._wait_for(informer, deadline)
        with self._lock:
            if self._queue.is_shutting_down:
                return
            for number in range(self.workers):
                thread = threading.Thread(target=self._work, name=f"{self.name}-worker-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)
        threading.Thread(
            target=self._budget.watch, args=(self._ended,), name=f"{self.name}-budget", daemon=True
        ).start()
        log.info("workers started", controller=self.name, workers=self.workers)

    def stop(self, deadline_s: float | None = None) -> list[Request]:
        """Take no further keys, let each worker finish its current one. Returns the requests still held after `deadline_s` seconds."""
        deadline = None if deadline_s is None else self._clock.monotonic() + deadline_s
        self._ended.set()
        held = self._queue.shut_down(hard=True, drain=True, deadline_s=deadline_s)
        with self._lock:
            registrations, self._registrations = self._registrations, []
            threads = list(self._threads)
        for registration in registrations:
            registration.remove()
        if not held:
            # A worker that gave its key back has nothing left to wait for, so that this join is short.
            for thread in threads:
                thread.join(None if deadline is None else max(1.0, deadline - self._clock.monotonic()))
        return held

    def process_next(self, timeout_s: float | None = 0.0) -> bool:
        """Reconcile one key, waiting up to `timeout_s` for it (None: until shut down). False when there was none."""
        self._connect()
        try:
            request = self._queue.get(timeout_s)
        except ShutDown:
            return False
        if request is None:
            return False
        try:
            self._reconcile(request)
        finally:
            self._queue.done(request)
        return True

    def unhealthy(self) -> str | None:
        """Why this controller should be restarted, or None: a worker died, or one has been at the same key for too long."""
        if self._started and not self._queue.is_shutting_down and any(not t.is_alive() for t in self._threads):
            return f"controller {self.name}: a worker thread has died"
        self._budget.look()
        stuck = {request: age for request, age in self._queue.held().items() if age > self._stuck_after_s}
        if stuck:
            request, age = max(stuck.items(), key=lambda entry: entry[1])
            return f"controller {self.name}: a worker is stuck at {request} for {age:.0f} s"
        return None

    def __len__(self) -> int:
        """Keys ready to be reconciled now."""
        return len(self._queue)

    def _connect(self) -> None:
        """Register with the informers; late, so that a leader sees the cache as it is when it starts to lead."""
        while self._connected < len(self._sources):
            informer, handler = self._sources[self._connected]
            self._connected += 1
            self._registrations.append(informer.add_handler(handler))

    def _wait_for(self, informer: Source, deadline: float) -> None:
        if informer.wait_for_sync(max(0.0, deadline - self._clock.monotonic())) or self._queue.is_shutting_down:
            return
        reason = informer.healthy() or "no complete list arrived"
        raise FatalError(
            f"controller {self.name}: the cache of {informer.resource.kind} ({informer.resource}) did not sync "
            f"within {self._sync_timeout_s:.0f} s: {reason}; is its CRD installed and may this program list it?"
        )

    def _work(self) -> None:
        while not self._queue.is_shutting_down:
            self.process_next(None)

    def _reconcile(self, request: Request) -> None:
        rest_s = self._budget.rest_s(request)
        if rest_s > 0:
            self._queue.add(request, priority=self._queue.priority_of(request), after_s=rest_s)
            return
        started = self._clock.monotonic()
        self._metrics.active_workers.inc()
        with reconcile_context(self.name, request.namespace, request.name, uuid.uuid4().hex):
            try:
                result = _checked(self._reconciler.reconcile(request))
            except BaseException as error:  # a worker outlives whatever its reconciler does, SystemExit included
                self._outcomes.failed(request, error)
            else:
                self._outcomes.succeeded(request, result)
            finally:
                took_s = self._clock.monotonic() - started
                self._metrics.active_workers.dec()
                self._metrics.time.observe(took_s)
                self._budget.spent(request, took_s)


def _checked(result: object) -> Result:
    if not isinstance(result, Result):
        raise TypeError(f"reconcile() returned {type(result).__name__} where a Result is due")
    return result
