"""A live, indexed copy of one collection, and handlers that hear of every change to it.

    reflector (one thread) -> store (cache) -> dispatchers (one thread per handler)

The cache is written before any handler is told, in one step with handing the change to the handlers' buffers; so a handler that looks
into the cache sees at least what it was told, and a handler that joins late gets the cache as it is and then every change after it.
Objects handed out are shared with the cache: read them only, or take a `copy_object`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from controller_runtime.cache.dispatcher import Dispatcher, EventHandler
from controller_runtime.cache.frames import ReflectorStats
from controller_runtime.cache.gc_tuning import relax_collector
from controller_runtime.cache.indexer import IndexFunc
from controller_runtime.cache.mutation import copy_object
from controller_runtime.cache.reflector import Reflector
from controller_runtime.cache.store import Deltas, Objects, Store
from controller_runtime.client.api import PAGE_SIZE, KubeClient, Transform
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.resources import Object, Resource

__all__ = ["EventHandler", "IndexFunc", "Informer", "Lister", "Registration", "copy_object"]


class Lister(Protocol):
    """Reading a cache. Nothing here asks the API server."""

    def get(self, name: str, namespace: str | None = None) -> Object | None: ...

    def list(self, namespace: str | None = None) -> Objects: ...

    def by_index(self, index: str, value: str) -> Objects: ...

    def keys(self) -> Sequence[str]: ...


class Registration:
    """A handler's tie to an informer."""

    def __init__(self, informer: Informer, dispatcher: Dispatcher) -> None:
        self._informer = informer
        self._dispatcher = dispatcher

    @property
    def has_synced(self) -> bool:
        """True once every object of the initial state was delivered to this handler."""
        return self._dispatcher.has_synced

    @property
    def pending(self) -> int:
        """Changes that wait for the handler."""
        return len(self._dispatcher)

    def remove(self) -> None:
        """Stop delivering; what is buffered is dropped. Harmless when done twice."""
        self._informer.remove_handler(self._dispatcher)


BATCHES_KEPT = 16
"""The last batches of changes are held until as many more have come, so that the thread that decodes also frees what was replaced. Left
to the threads of the handlers, freeing moves the memory of every object from one processor core to the other (measured: a tenth of
all work under a heavy stream)."""


class Informer:
    """Implements `Lister`. Start it once; it cannot be started again after `stop`."""

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexers: Mapping[str, IndexFunc] | None = None,
        transform: Transform | None = None,
        resync_period_s: float = 0.0,
        page_size: int = PAGE_SIZE,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.resource = resource
        self._clock = clock
        self._resync_period_s = resync_period_s
        self._store = Store(resource.kind, indexers)
        self._dispatchers: list[Dispatcher] = []
        self._recent: deque[Deltas] = deque(maxlen=BATCHES_KEPT)
        self._synced = threading.Event()
        self._synced_or_stopped = threading.Event()
        self._stopped = False
        self._started = False
        self._reflector = Reflector(
            client,
            resource,
            _Intake(self),
            namespace=namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            transform=transform,
            page_size=page_size,
            clock=clock,
        )
        self.stats: ReflectorStats = self._reflector.stats
        self._thread = threading.Thread(target=self._reflector.run, name=f"reflect-{resource}", daemon=True)

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        """The cached object, None when there is none."""
        return self._store.get(f"{namespace}/{name}" if namespace else name)

    def list(self, namespace: str | None = None) -> Objects:
        """All cached objects, or those of one namespace."""
        return self._store.list(namespace)

    def by_index(self, index: str, value: str) -> Objects:
        """Objects for which the index function gave `value`; ValueError for an unknown index."""
        return self._store.by_index(index, value)

    def index_values(self, index: str) -> Sequence[str]:
        """Every value that an index holds."""
        return self._store.index_values(index)

    def keys(self) -> Sequence[str]:
        """`namespace/name`, or `name`, of every cached object."""
        return self._store.keys()

    def __len__(self) -> int:
        return len(self._store)

    def add_indexer(self, name: str, function: IndexFunc) -> None:
        """Add an index, before or after the start. ValueError when the name is taken by another function."""
        self._store.add_indexer(name, function)

    def add_handler(self, handler: EventHandler, *, resync_period_s: float | None = None) -> Registration:
        """Tell `handler` of everything cached now (as initial adds) and of every change from now on.

        `resync_period_s` re-delivers the cache to this handler as updates, without asking the API server; default the informer's.
        """
        dispatcher = Dispatcher(
            handler,
            name=f"{self.resource}-{type(handler).__name__}",
            clock=self._clock,
            resync_period_s=self._resync_period_s if resync_period_s is None else resync_period_s,
            resync=self._resync,
        )
        with self._store.lock:
            if self._stopped:
                raise RuntimeError(f"the informer of {self.resource} has stopped; it takes no more handlers")
            dispatcher.push([(None, obj, True) for obj in self._store.list()], end_of_initial=self._synced.is_set())
            self._dispatchers.append(dispatcher)
            if self._started:
                dispatcher.start()
        return Registration(self, dispatcher)

    def remove_handler(self, dispatcher: Dispatcher) -> None:
        """Used by `Registration.remove`."""
        with self._store.lock:
            if dispatcher in self._dispatchers:
                self._dispatchers.remove(dispatcher)
        dispatcher.close(drain=False)

    def start(self) -> None:
        """Begin to list and watch in the background. Harmless when done twice."""
        with self._store.lock:
            if self._started or self._stopped:
                return
            self._started = True
            relax_collector()
            for dispatcher in self._dispatchers:
                dispatcher.start()
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop watching, deliver what is buffered, end the threads. False when a handler or the network kept one of them."""
        # Threads are joined in real time, whatever clock the informer itself lives by.
        deadline = SYSTEM_CLOCK.monotonic() + timeout_s
        with self._store.lock:
            self._stopped = True
            dispatchers = [*self._dispatchers]
        self._reflector.stop()
        self._synced_or_stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        done = [d.close(drain=True, timeout_s=max(0.0, deadline - SYSTEM_CLOCK.monotonic())) for d in dispatchers]
        return all(done) and not self._thread.is_alive()

    @property
    def has_synced(self) -> bool:
        """True once the cache holds a complete list (handlers may still be busy with it)."""
        return self._synced.is_set()

    def wait_for_sync(self, timeout_s: float) -> bool:
        """Wait for the first complete list; False when it did not come in time or the informer was stopped."""
        self._clock.wait_event(self._synced_or_stopped, timeout_s)
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """The newest resourceVersion that the cache reflects."""
        return self._store.resource_version

    def has_seen(self, resource_version: str) -> bool:
        """True once the cache is at least as new as `resource_version`, such as that of our own last write."""
        return self._store.has_seen(resource_version)

    def fresh_for_s(self) -> float | None:
        """Seconds for which the cache has been known to be current without a break (infinite: since the first list); None while it is not.

        What is judged from what a cache does not show, or by how long it has shown something, has to ask this first.
        """
        alive = self._started and not self._stopped and self._thread.is_alive()
        return self._reflector.fresh_for_s() if alive and self._synced.is_set() else None

    @property
    def type_is_missing(self) -> bool:
        """The API server does not know the type at present. What was cached stays, because a server that starts may say so too."""
        return self._reflector.type_is_missing

    def healthy(self) -> str | None:
        """None, or why the cache cannot be trusted to be current: refused, stalled, or its thread is gone."""
        if self._started and not self._stopped and not self._thread.is_alive():
            return "the reflector thread has died"
        return self._reflector.trouble()

    @property
    def stale_events(self) -> int:
        """Events ignored because a newer state was already cached."""
        return self._store.stale

    @property
    def malformed_objects(self) -> int:
        """Objects ignored because they are not of this informer's type."""
        return self._store.malformed

    @property
    def handler_failures(self) -> int:
        """Exceptions raised by handlers."""
        return sum(dispatcher.failures for dispatcher in [*self._dispatchers])

    @property
    def coalesced_updates(self) -> int:
        """Updates merged because a handler was slow."""
        return sum(dispatcher.coalesced for dispatcher in [*self._dispatchers])

    @property
    def queued_changes(self) -> int:
        """Changes that wait for handlers."""
        return sum(len(dispatcher) for dispatcher in [*self._dispatchers])

    def _take_list(self, items: Sequence[Object], resource_version: str) -> None:
        first = not self._synced.is_set()
        with self._store.lock:
            changes = self._store.replace(items, resource_version, initial=first)
            self._synced.set()
            self._synced_or_stopped.set()
            for dispatcher in self._dispatchers:
                dispatcher.push(changes, end_of_initial=first)

    def _take_events(self, events: Sequence[tuple[str, Object]]) -> None:
        with self._store.lock:
            changes = self._store.apply(events)
            if changes:
                self._recent.append(changes)
                for dispatcher in self._dispatchers:
                    dispatcher.push(changes)

    def _resync(self, dispatcher: Dispatcher) -> None:
        with self._store.lock:
            dispatcher.push([(obj, obj, False) for obj in self._store.list()])


class _Intake:
    """The informer as its reflector sees it; apart, so that users of the informer do not see these methods."""

    def __init__(self, informer: Informer) -> None:
        self.replace = informer._take_list
        self.apply = informer._take_events
        self.note = informer._store.note
        self._store = informer._store

    @property
    def resource_version(self) -> str:
        return self._store.resource_version
