"""The objects of one node API as a cache, in clusters with and without its CRD; "Machine" stands for any of them.

Nodes that users bring need no Machines, so a missing CRD is a way of working and not an error. While it is missing this looks for it now
and then with one GET; once it is installed, the cache is filled, the controller's watch is connected, and every Workspace gets another
look. From then on it behaves like any informer, until the CRD is removed: once the server knows neither the type nor, by the last word
of the watch, any Machine, they cannot be ordered again. A server that merely restarts may deny the type for a moment; as long as Machines
are cached, nothing is concluded from that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from controller_runtime.cache.informer import EventHandler, Informer
from controller_runtime.client.api import KubeClient
from controller_runtime.client.served import is_served
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import ApiError
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object
from kaito_controller.nodeapi import APIS, DEFAULT
from kaito_controller.nodeapi.port import NodeApi
from kaito_controller.workspace.observe.caches import MACHINE_INDICES

LOOK_EVERY_S = 10.0
FOLLOW_EVERY_S = 1.0
"""How often it is looked whether the type has gone or come back; that costs no request."""
STOP_TIMEOUT_S = 5.0

log = get_logger(__name__)


class MachineSource:
    """A `MachineCache`, and a runnable that fills it when the CRD appears later."""

    def __init__(
        self,
        client: KubeClient,
        api: NodeApi = APIS[DEFAULT],
        *,
        clock: Clock = SYSTEM_CLOCK,
        informer: Informer | None = None,
    ) -> None:
        """`informer`: one that is already run by the manager, when the CRD was there from the start."""
        self.api = api
        self._client = client
        self._clock = clock
        self._informer = informer
        self._on_appear: Callable[[], None] = lambda: None
        self._handlers: tuple[EventHandler, ...] = ()

    @property
    def available(self) -> bool:
        """Nodes can be ordered by this API."""
        return self._informer is not None and not self._is_removed(self._informer)

    @staticmethod
    def _is_removed(informer: Informer) -> bool:
        return informer.type_is_missing and not informer.list()

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        return self._informer.get(name, namespace) if self._informer is not None else None

    def by_index(self, index: str, value: str) -> list[Object]:
        return self._informer.by_index(index, value) if self._informer is not None else []

    def has_seen(self, resource_version: str) -> bool:
        return self._informer is None or self._informer.has_seen(resource_version)

    def fresh_for_s(self) -> float | None:
        """Without the type there are no Machines, which is as sure as knowledge gets."""
        return self._informer.fresh_for_s() if self._informer is not None and self.available else float("inf")

    def when_it_appears(self, handlers: tuple[EventHandler, ...], call: Callable[[], None]) -> None:
        """Whom to connect once the CRD is installed, and what to do whenever it has come or gone."""
        self._handlers, self._on_appear = handlers, call

    def run(self, stop: threading.Event) -> None:
        """Look for the CRD until it is there, then keep the cache; tell when it goes and comes back, until `stop`."""
        if self._informer is not None:
            self._follow(stop)
            return
        while not self._appears():
            if self._clock.wait_event(stop, LOOK_EVERY_S):
                return
        log.info("a node API was installed; its objects can be ordered from now on", crd=self.api.crd)
        informer = Informer(self._client, self.api.resource, indexers=MACHINE_INDICES, clock=self._clock)
        informer.start()
        try:
            while not informer.wait_for_sync(1.0):
                if stop.is_set():
                    return
            self._informer = informer
            for handler in self._handlers:
                informer.add_handler(handler)
            self._on_appear()
            self._follow(stop)
        finally:
            informer.stop(STOP_TIMEOUT_S)

    def _follow(self, stop: threading.Event) -> None:
        was = self.available
        while not self._clock.wait_event(stop, FOLLOW_EVERY_S):
            if self.available == was:
                continue
            was = not was
            log.info(
                "a node API was installed again" if was else "a node API was removed", crd=self.api.crd, available=was
            )
            self._on_appear()

    def _appears(self) -> bool:
        try:
            return is_served(self._client, self.api.resource, when_forbidden=self.api is APIS[DEFAULT])
        except ApiError as error:
            log.warning("cannot tell whether a node API is installed", crd=self.api.crd, error=str(error))
            return False
