"""The verbs of the API server: which path, query and body each one is.

`RestClient` implements `api.KubeClient` over a `Transport`. It checks what would silently mean something else (an empty name turns
a get into a list, a missing namespace turns one object into all), and leaves every decision about failures to its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

import orjson

from controller_runtime.client.api import PAGE_SIZE, WATCH_TIMEOUT_S, ObjectList, PatchType, Propagation, Transform
from controller_runtime.client.exchange import RequestObserver
from controller_runtime.client.paging import Page, decode_page
from controller_runtime.client.reply import decode_object, read_lines
from controller_runtime.client.transport import JSON, Query, Transport
from controller_runtime.client.watch import HttpWatchStream
from controller_runtime.errors import Expired
from controller_runtime.resources import PARTIAL, Object, Resource, name_of, namespace_of

WATCH_GRACE_S = 30.0
"""A server ends a watch at its `timeoutSeconds`; only this much later is silence taken for a dead peer."""


class RestClient:
    """Raw objects over HTTP. Thread-safe; errors and arguments are described in `api.KubeClient`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add_observer(self, observer: RequestObserver) -> None:
        """Tell `observer` of every exchange, for metrics."""
        self._transport.add_observer(observer)

    def close(self) -> None:
        """Close idle connections; the client can still be used and then opens new ones."""
        self._transport.close()

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        return self._object("GET", _object_path(resource, name, namespace))

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        page_size: int = PAGE_SIZE,
        resource_version: str | None = None,
        resource_version_match: str | None = None,
        transform: Transform | None = None,
    ) -> ObjectList:
        path = _collection_path(resource, namespace)
        selectors: Query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        at: Query = {"resourceVersion": resource_version, "resourceVersionMatch": resource_version_match}
        read = partial(self._page, path, transform=transform, accept=_accept(resource, "List"))
        first = read({**selectors, **at, "limit": page_size or None})
        try:
            return _rest_of_pages(read, selectors, first, page_size)
        except Expired:
            # The continue token outlived the server's history. One reply without pages needs no token.
            whole = read({**selectors, **at})
            return ObjectList(whole.items, whole.resource_version)

    def create(
        self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, *, dry_run: bool = False
    ) -> Object:
        namespace = namespace or namespace_of(obj) or None
        _require_namespace(resource, name_of(obj), namespace)
        path = resource.path(_quoted(namespace))
        return self._object("POST", path, query={"dryRun": "All" if dry_run else None}, body=orjson.dumps(obj))

    def replace(self, resource: Resource, obj: Mapping[str, Any], *, subresource: str | None = None) -> Object:
        path = _object_path(resource, name_of(obj), namespace_of(obj) or None, subresource)
        return self._object("PUT", path, body=orjson.dumps(obj))

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
        field_manager: str | None = None,
        force: bool = False,
    ) -> Object:
        _check_patch(patch, patch_type, field_manager, force=force)
        path = _object_path(resource, name, namespace, subresource)
        query: Query = {"fieldManager": field_manager, "force": True if force else None}
        return self._object("PATCH", path, query=query, body=orjson.dumps(patch), content_type=patch_type.value)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation | str | None = None,
        grace_period_s: int | None = None,
    ) -> None:
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if any(preconditions.values()):
            options["preconditions"] = {k: v for k, v in preconditions.items() if v}
        if propagation is not None:
            options["propagationPolicy"] = Propagation(propagation).value
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        path = _object_path(resource, name, namespace)
        self._transport.send("DELETE", path, body=orjson.dumps(options), content_type=JSON)

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        return self._object("POST", path, body=orjson.dumps(body))

    def post_lines(self, path: str, body: Mapping[str, Any], *, read_timeout_s: float) -> Iterator[bytes]:
        """POST whose answer comes little by little: its lines as they come, such as the events of a model server that streams.

        `read_timeout_s` bounds each wait. `ConnectionFailed` when the answer breaks off. Whoever stops early closes the connection.
        """
        response = self._transport.open(
            path, query={}, read_timeout_s=read_timeout_s, method="POST", body=orjson.dumps(body)
        )
        return read_lines(response, f"POST {path}")

    def read(self, path: str, query: Query | None = None) -> bytes:
        """GET of what is no object: the log of a container, or an answer through the API server's proxy."""
        return self._transport.send("GET", path, query=query)

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_s: float = WATCH_TIMEOUT_S,
    ) -> HttpWatchStream:
        path = _collection_path(resource, namespace)
        query: Query = {
            "watch": True,
            "allowWatchBookmarks": True,
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": int(timeout_s),
        }
        read_timeout_s = timeout_s + WATCH_GRACE_S
        accept = _accept(resource)
        response = self._transport.open(path, query=query, read_timeout_s=read_timeout_s, accept=accept)
        return HttpWatchStream(response, f"WATCH {path}", read_timeout_s)

    def _page(self, path: str, query: Query, *, transform: Transform | None, accept: str) -> Page:
        return decode_page(self._transport.send("GET", path, query=query, accept=accept), f"GET {path}", transform)

    def _object(
        self, method: str, path: str, *, query: Query | None = None, body: bytes | None = None, content_type: str = JSON
    ) -> Object:
        sent_type = content_type if body is not None else None
        reply = self._transport.send(method, path, query=query, body=body, content_type=sent_type)
        return decode_object(reply, f"{method} {path}")


def _rest_of_pages(read: Callable[[Query], Page], selectors: Query, page: Page, page_size: int) -> ObjectList:
    items, resource_version, pages = page.items, page.resource_version, 1
    while page.continuation:
        # The token carries the resourceVersion; naming it again is an error.
        page = read({**selectors, "limit": page_size, "continue": page.continuation})
        items += page.items
        pages += 1
    return ObjectList(items, resource_version, pages)


def _accept(resource: Resource, suffix: str = "") -> str:
    """What a list or a watch is to answer with."""
    return f"{JSON};as={PARTIAL}{suffix};g=meta.k8s.io;v=v1" if resource.metadata_only else JSON


def _object_path(resource: Resource, name: str, namespace: str | None, subresource: str | None = None) -> str:
    if not name:
        raise ValueError(f"a {resource.kind} needs a name; an empty one would address the whole collection")
    _require_namespace(resource, name, namespace)
    return resource.path(_quoted(namespace), _quoted(name), subresource)


def _collection_path(resource: Resource, namespace: str | None) -> str:
    return resource.path(_quoted(namespace))


def _require_namespace(resource: Resource, name: str, namespace: str | None) -> None:
    if resource.namespaced and not namespace:
        raise ValueError(f"{resource.kind} {name!r} needs a namespace; give one or set metadata.namespace")


def _quoted(part: str | None) -> str | None:
    # Names from users end up in paths; a slash in one must not lead to another resource.
    return quote(part, safe="") if part else None


def _check_patch(patch: Any, patch_type: PatchType, field_manager: str | None, *, force: bool) -> None:
    wanted = list if patch_type is PatchType.JSON else dict
    if not isinstance(patch, wanted):
        raise ValueError(f"a {patch_type.name} patch is a {wanted.__name__}; got a {type(patch).__name__}")  # noqa: TRY004
    if patch_type is PatchType.APPLY and not field_manager:
        raise ValueError("a server-side apply needs a field_manager")
    if force and patch_type is not PatchType.APPLY:
        raise ValueError("force belongs to server-side apply; other patches do not know it")
