"""ConfigMaps: our own whole, those of everybody else by their metadata; of these only the few that matter are read.

A cluster holds many ConfigMaps, some of a megabyte, and a Workspace reads one. A watch of their metadata says when that one changes, and
the object itself is read then, once for each version of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import NotFound
from controller_runtime.resources import CONFIG_MAPS, Object, resource_version_of
from kaito_controller.workspace.observe.caches import Cache

MOST_KEPT = 256
"""Those read last; one more read is all that another costs."""


class ConfigMaps:
    """Implements `Cache`. Thread-safe: all workers share it."""

    def __init__(self, client: KubeClient, ours: Cache, metadata: Cache, slim: Callable[[Object], Object]) -> None:
        self._client = client
        self._ours = ours
        self._metadata = metadata
        self._slim = slim
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, str], Object] = OrderedDict()

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        """The ConfigMap, None when there is none. Raises `ApiError` when it has to be read and cannot."""
        key = (namespace or "", name)
        seen = self._metadata.get(name, namespace)
        known = self._known(key)
        if seen is not None and known is not None and resource_version_of(known) == resource_version_of(seen):
            return known
        found = self._ask(name, namespace) if seen is not None else None
        with self._lock:
            self._read.pop(key, None)
            if found is not None:
                self._read[key] = found
            while len(self._read) > MOST_KEPT:
                self._read.popitem(last=False)
        return found

    def by_index(self, index: str, value: str) -> list[Object]:
        """Of our own."""
        return self._ours.by_index(index, value)

    def has_seen(self, resource_version: str) -> bool:
        """Whether our own are at least so new."""
        return self._ours.has_seen(resource_version)

    def fresh_for_s(self) -> float | None:
        """Of our own."""
        return self._ours.fresh_for_s()

    def _known(self, key: tuple[str, str]) -> Object | None:
        with self._lock:
            if key in self._read:
                self._read.move_to_end(key)
            return self._read.get(key)

    def _ask(self, name: str, namespace: str | None) -> Object | None:
        try:
            return self._slim(self._client.get(CONFIG_MAPS, name, namespace))
        except NotFound:
            return None
