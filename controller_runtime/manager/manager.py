"""The life of an operator process: caches, controllers, election, probes and metrics, started and stopped in the right order.

Start: probe and metrics servers, then caches, then what needs no leadership, then (at once or on winning the Lease) the controllers.
Probes come first so that kubelet sees "alive, not ready" while caches fill. Stop: controllers and runnables (running reconciles end, no
new ones begin), pending events, the Lease, caches, servers. The Lease goes back right after the last writer has ended, before the slower
rest, so that the standby takes over soonest. Exit codes: 0 asked to stop and stopped in time; 1 everything else.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType

from prometheus_client import CollectorRegistry

from controller_runtime.cache.informer import IndexFunc, Informer
from controller_runtime.cache.informer_metrics import InformerCollector
from controller_runtime.client.api import KubeClient
from controller_runtime.client.fencing import GuardedClient
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.controller.controller import Controller
from controller_runtime.election.candidacy import announce_end, announce_start, build_elector
from controller_runtime.election.elector import LeaderElector
from controller_runtime.errors import ControllerRuntimeError, FatalError
from controller_runtime.events.recorder import EventBroadcaster, EventRecorder
from controller_runtime.logs import get_logger
from controller_runtime.manager.endpoints import Endpoints
from controller_runtime.manager.runnables import Runnable, Runnables
from controller_runtime.metrics.registry import ControllerMetrics, RestClientMetrics, new_registry
from controller_runtime.resources import Object, Resource
from controller_runtime.settings import OperatorSettings

CACHE_STOP_S = 5.0
EVENT_FLUSH_S = 2.0
SIGNAL_LATENCY_S = 0.5

log = get_logger(__name__)


class Manager:
    """See the module. Register everything, then `run()` once; tests use `start()` and `stop()`."""

    def __init__(
        self,
        client: KubeClient,
        settings: OperatorSettings,
        *,
        name: str,
        clock: Clock = SYSTEM_CLOCK,
        registry: CollectorRegistry | None = None,
        lease_client: KubeClient | None = None,
        exit_process: Callable[[int], None] = os._exit,
    ) -> None:
        """`name` names the program in the Lease, the logs and the user agent. `lease_client` defaults to an own connection with
        short timeouts, made from `settings`; `exit_process` is how the watchdog ends a process that hangs after losing the Lease.
        """
        self.name = name
        self.settings = settings
        self.registry = registry if registry is not None else new_registry()
        self.metrics = ControllerMetrics(self.registry)
        self.client: KubeClient = GuardedClient(client, self.may_write)
        """Give this one to reconcilers: it refuses writes without leadership."""
        self._raw_client = client
        self._lease_client = lease_client
        self._clock = clock
        self._exit_process = exit_process
        self._endpoints = Endpoints(settings, self.registry, client, clock)
        self._events = EventBroadcaster(GuardedClient(client, self.leads_for_certain), clock=clock)
        self._informers: dict[tuple[object, ...], Informer] = {}
        self._elector: LeaderElector | None = None
        self._stopping = threading.Event()
        self._runnables = Runnables(self._stopping, self._fail, clock)
        # The one queue whose put() may be called from a signal handler: it takes no lock that the main thread could hold.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._signals = 0
        self._error: BaseException | None = None
        self._lost = False
        self._started = False
        self._add_own_checks()
        if hasattr(client, "add_observer"):
            client.add_observer(RestClientMetrics(self.registry))
        self.registry.register(InformerCollector(lambda: [*self._informers.values()], clock=clock))

    def may_write(self) -> bool:
        """Whether a write could still meet no other leader. Always true when leader election is switched off."""
        if not self.settings.leader_elect:
            return True
        return self._elector is not None and self._elector.may_write()

    def leads_for_certain(self) -> bool:
        """Whether the Lease was renewed lately; asked for Events, which no precondition guards. Always true without leader election."""
        if not self.settings.leader_elect:
            return True
        return self._elector is not None and self._elector.is_certain()

    def informer(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexers: Mapping[str, IndexFunc] | None = None,
        transform: Callable[[Object], Object] | None = None,
    ) -> Informer:
        """The shared informer of that collection; asking again gives the same one, with `indexers` added."""
        key = (resource, namespace, label_selector, field_selector)
        known = self._informers.get(key)
        if known is not None:
            for index, function in (indexers or {}).items():
                known.add_indexer(index, function)
            return known
        self._refuse_when_started("informer()")
        informer = Informer(
            self._raw_client,
            resource,
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            indexers=indexers,
            transform=transform,
            clock=self._clock,
        )
        self._informers[key] = informer
        return informer

    def recorder(self, component: str) -> EventRecorder:
        """Records Events as `component`."""
        return self._events.recorder(component)

    def add_controller(self, controller: Controller) -> None:
        """Start it with the manager; with leadership, unless it says `needs_leader=False`."""
        self._refuse_when_started("add_controller()")
        self._runnables.add_controller(controller)
        controller.attach(self.metrics, self._fail, self.settings.cache_sync_timeout_s)
        self._endpoints.healthz.add(f"controller-{controller.name}", controller.unhealthy)

    def add_runnable(self, runnable: Runnable, needs_leader: bool = True) -> None:
        """Run it in a thread of its own from start (or from winning the Lease) to stop."""
        self._refuse_when_started("add_runnable()")
        self._runnables.add_runnable(runnable, needs_leader=needs_leader)

    def port(self, server: str) -> int:
        """Where `probes` or `metrics` listens; for tests that bind port 0."""
        return self._endpoints.port(server)

    def run(self) -> int:
        """Start, work until SIGTERM, SIGINT or a fatal error, stop. Returns the exit code. A second signal ends at once."""
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            try:
                self.start()
                self._wait_for_wake()
            except ControllerRuntimeError as error:
                self._fail(error)
            return self.stop()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _wait_for_wake(self) -> None:
        """Python runs signal handlers in the main thread only, and a signal that the kernel gave to another thread does not end a
        blocking call here; hence the short naps."""
        while True:
            try:
                return self._wake.get(timeout=SIGNAL_LATENCY_S)
            except queue.Empty:
                continue

    def start(self) -> None:
        """Start everything and return; leadership and cache syncs are awaited in the background."""
        self._refuse_when_started("start()")
        self._started = True
        self._endpoints.start()
        for informer in self._informers.values():
            informer.start()
        self._events.start()
        self._runnables.start(needs_leader=False)
        if not self.settings.leader_elect:
            self._runnables.start(needs_leader=True)
            return
        self._elector = build_elector(
            self.settings,
            self.name,
            self._lease_client,
            on_started=self._on_elected,
            on_lost=self._on_lost,
            metrics=self.metrics,
            clock=self._clock,
            exit_process=self._exit_process,
        )
        self._elector.start()

    def stop(self) -> int:
        """Stop everything in order, within the grace period. Returns the exit code."""
        self._stopping.set()
        grace_s = 0.0 if self._lost else self.settings.graceful_shutdown_timeout_s
        # A quarter (at most 5 s) is kept for what follows the workers, above all for giving the Lease back.
        deadline = self._clock.monotonic() + grace_s - min(5.0, grace_s / 4)
        overdue = self._runnables.stop(deadline)
        if overdue:
            log.error("did not stop within the grace period", grace_period_s=grace_s, still_running=overdue)
        if self._elector is not None and self._elector.is_leader and not overdue:
            announce_end(self.recorder(self.name), self._elector)
        self._events.stop(flush_s=0.0 if overdue or self._lost else EVENT_FLUSH_S)
        if self._elector is not None:
            self._elector.stop(release=not overdue)
        for informer in self._informers.values():
            informer.stop(CACHE_STOP_S)
        self._endpoints.stop()
        code = 1 if self._error is not None or overdue else 0
        log.info("stopped", name=self.name, exit_code=code)
        return code

    def _on_elected(self) -> None:
        if self._elector is not None:
            announce_start(self.recorder(self.name), self._elector)
        self._runnables.start(needs_leader=True)

    def _on_lost(self) -> None:
        self._lost = True
        self._fail(FatalError("leader election lost"))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            self._exit_process(1)
        self._wake.put(None)

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            expected = isinstance(error, ControllerRuntimeError)
            log.error("stopping the process", error=str(error), exc_info=None if expected else error)
        self._wake.put(None)

    def _refuse_when_started(self, call: str) -> None:
        if self._started:
            raise RuntimeError(f"{call} after the manager was started")

    def _add_own_checks(self) -> None:
        self._endpoints.healthz.add("leader-election", lambda: self._elector.unhealthy() if self._elector else None)
        self._endpoints.readyz.add("shutdown", lambda: "stopping" if self._stopping.is_set() else None)
        self._endpoints.readyz.add("caches", self._caches_not_ready)
        self._endpoints.readyz.add("leader-election", self._leadership_in_doubt)
        self._endpoints.readyz.add("workers", self._runnables.not_ready)

    def _caches_not_ready(self) -> str | None:
        if not self._started:
            return "not started"
        for informer in self._informers.values():
            if not informer.has_synced:
                return f"{informer.resource}: not synced: {informer.healthy() or 'listing'}"
            reason = informer.healthy()
            if reason:
                return f"{informer.resource}: {reason}"
        return None

    def _leadership_in_doubt(self) -> str | None:
        """A standby is ready, or a rolling update with two replicas would never end; a leader must still be sure that it leads."""
        if self._elector is None or not self._elector.is_leader:
            return self._elector.unhealthy() if self._elector else None
        return None if self._elector.may_write() else "the lease is not renewed"
