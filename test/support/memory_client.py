"""A `KubeClient` over a dict: resourceVersions, conflicts and preconditions as the real thing, no network, failures on demand.

For unit tests of one part. Tests of behaviour against an API server use localcluster.
"""

from __future__ import annotations

import copy
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from controller_runtime.client.api import KubeClient, ObjectList, WatchStream
from controller_runtime.errors import AlreadyExists, Conflict, NotFound
from controller_runtime.resources import Object, Resource, name_of, namespace_of, resource_version_of, uid_of

Interceptor = Callable[[str, Resource, str], None]


class MemoryClient(KubeClient):
    """`before` is called with (verb, resource, name) ahead of each call and may raise; `calls` lists them as "verb plural name"."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.before: Interceptor = lambda _verb, _resource, _name: None
        self.after: Interceptor = lambda _verb, _resource, _name: None
        self._lock = threading.RLock()
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._version = 0

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        self._note("get", resource, name)
        with self._lock:
            return copy.deepcopy(self._found(resource, name, namespace))

    def list(self, resource: Resource, namespace: str | None = None, **_: Any) -> ObjectList:
        self._note("list", resource, "")
        with self._lock:
            items = [o for (p, ns, _), o in self._objects.items() if p == resource.plural and namespace in (None, ns)]
            return ObjectList(copy.deepcopy(items), str(self._version))

    def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        self._note("create", resource, name_of(obj))
        with self._lock:
            key = self._key(resource, name_of(obj), namespace or namespace_of(obj))
            if key in self._objects:
                raise AlreadyExists(f"{resource} {name_of(obj)} exists", code=409, reason="AlreadyExists")
            created = copy.deepcopy(dict(obj))
            created["metadata"] = dict(created.get("metadata") or {}) | {"uid": str(uuid.uuid4())}
            if not dry_run:
                self._store(key, created)
        self.after("create", resource, name_of(obj))
        return copy.deepcopy(created)

    def replace(self, resource: Resource, obj: Mapping[str, Any], *, subresource: str | None = None) -> Object:
        self._note("replace", resource, name_of(obj))
        with self._lock:
            current = self._found(resource, name_of(obj), namespace_of(obj))
            if resource_version_of(obj) not in ("", resource_version_of(current)):
                raise Conflict(f"{resource} {name_of(obj)} has changed", code=409, reason="Conflict")
            replaced = copy.deepcopy(dict(obj))
            self._store(self._key(resource, name_of(obj), namespace_of(obj)), replaced)
        self.after("replace", resource, name_of(obj))
        return copy.deepcopy(replaced)

    def patch(self, resource: Resource, name: str, patch: Any, namespace: str | None = None, **_: Any) -> Object:
        self._note("patch", resource, name)
        with self._lock:
            merged = _merge(self._found(resource, name, namespace), patch)
            self._store(self._key(resource, name, namespace), merged)
        self.after("patch", resource, name)
        return copy.deepcopy(merged)

    def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, uid: str | None = None, **_: Any
    ) -> None:
        self._note("delete", resource, name)
        with self._lock:
            current = self._found(resource, name, namespace)
            if uid is not None and uid != uid_of(current):
                raise Conflict(f"{resource} {name} has another uid", code=409, reason="Conflict")
            del self._objects[self._key(resource, name, namespace)]

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        self.calls.append(f"post {path}")
        return dict(body)

    def watch(self, resource: Resource, namespace: str | None = None, **_: Any) -> WatchStream:
        raise NotImplementedError("use localcluster for tests that watch")

    def _note(self, verb: str, resource: Resource, name: str) -> None:
        self.calls.append(f"{verb} {resource.plural} {name}".strip())
        self.before(verb, resource, name)

    def _key(self, resource: Resource, name: str, namespace: str | None) -> tuple[str, str, str]:
        return (resource.plural, namespace or "", name)

    def _found(self, resource: Resource, name: str, namespace: str | None) -> Object:
        try:
            return self._objects[self._key(resource, name, namespace)]
        except KeyError:
            raise NotFound(f"{resource} {name} not found", code=404, reason="NotFound") from None

    def _store(self, key: tuple[str, str, str], obj: Object) -> None:
        self._version += 1
        obj["metadata"] = dict(obj.get("metadata") or {}) | {"resourceVersion": str(self._version)}
        self._objects[key] = copy.deepcopy(obj)


def _merge(base: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping) or not isinstance(base, Mapping):
        return copy.deepcopy(patch)
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
