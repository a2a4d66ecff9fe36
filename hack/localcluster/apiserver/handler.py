"""HTTP: decodes a request, lets the right part answer, encodes the result. The only module that knows aiohttp's requests.

Also the place of the audit log, because every request passes here once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import yaml
from aiohttp import web

from hack.localcluster.apiserver import discovery, patching, protobuf, reading
from hack.localcluster.apiserver.behaviour import TypeBehaviour
from hack.localcluster.apiserver.errors import (
    StatusError,
    bad_request,
    method_not_allowed,
    no_such_path,
    too_large_resource_version,
    unsupported,
)
from hack.localcluster.apiserver.openapi import OpenApi
from hack.localcluster.apiserver.registry import Object, Registry, ResourceType
from hack.localcluster.apiserver.routing import Route, parse_route
from hack.localcluster.apiserver.schema import resolve, schema_names
from hack.localcluster.apiserver.store import Entry, Store
from hack.localcluster.apiserver.tables import view_for
from hack.localcluster.apiserver.verbs import Caller, Write
from hack.localcluster.apiserver.views import View
from hack.localcluster.apiserver.watching import Watch, error_line

logger = logging.getLogger("localcluster.apiserver")
_JSON = "application/json"
_HEALTH = frozenset({"/healthz", "/readyz", "/livez"})


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request, as it ended. `code` is 0 when the client got no answer."""

    time_s: float
    user: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str
    code: int


@dataclass(slots=True)
class Exchange:
    """One request on its way through."""

    request: web.BaseRequest
    caller: Caller
    route: Route | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Handler:
    """Answers every request of one server."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        behaviour: TypeBehaviour,
        *,
        bookmark_interval_s: float,
        freshness_s: float,
    ) -> None:
        self.store = store
        self.registry = registry
        self.behaviour = behaviour
        self.verbs = behaviour.verbs
        self.bookmark_interval_s = bookmark_interval_s
        self.freshness_s = freshness_s
        self.openapi = OpenApi(registry)
        self.audit: list[AuditEntry] = []
        self.authenticate: Callable[[web.BaseRequest], Caller] = lambda request: Caller(
            "anonymous-admin", ("system:masters",), request.headers.get("User-Agent", "")
        )

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's entry point."""
        exchange = Exchange(request, Caller("unknown", (), request.headers.get("User-Agent", "")))
        code = 0
        try:
            response = await self._answer(exchange)
            code = response.status
        except StatusError as error:
            response = _status_response(error)
            code = error.code
        except Exception as error:
            logger.exception("%s %s", request.method, request.path_qs)
            failure = StatusError(500, f"localcluster failed: {type(error).__name__}: {error}")
            response = _status_response(failure)
            code = 500
        finally:
            self._record(exchange, code)
        return response

    def _record(self, exchange: Exchange, code: int) -> None:
        route, caller = exchange.route, exchange.caller
        parts = (
            (route.verb, route.group, route.resource, route.subresource, route.namespace, route.name)
            if route
            else ("", "", "", "", "", "")
        )
        self.audit.append(AuditEntry(time.time(), caller.user, caller.agent, *parts, exchange.request.path, code))

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        request = exchange.request
        exchange.caller = self.authenticate(request)
        route = exchange.route = parse_route(request.method, request.path, request.query)
        if route is None:
            return self._non_resource(exchange)
        kind = self.registry.get(route.group, route.version, route.resource)
        if kind is None:
            raise no_such_path()
        body = await request.read() if request.can_read_body else b""
        if route.subresource and route.subresource not in kind.subresources:
            raise no_such_path()
        if route.verb == "watch":
            return await self._watch(exchange, route, kind)
        if route.verb in ("get", "list"):
            await self._wait_until_fresh(route)
        return self._dispatch(exchange, route, kind, body)

    def _non_resource(self, exchange: Exchange) -> web.StreamResponse:
        path = exchange.request.path.rstrip("/") or "/"
        if path in _HEALTH or path.rpartition("/")[0] in _HEALTH:
            return web.Response(text="ok")
        if path == "/openapi/v3":
            return _json_response(self.openapi.index())
        if path.startswith("/openapi/v3/"):
            found: Any = self.openapi.document(path.removeprefix("/openapi/v3/"))
        elif path == "/openapi/v2":
            raise unsupported("OpenAPI v2; use /openapi/v3")
        else:
            answer = discovery.answer(self.registry, path, exchange.request.host)
            found = orjson.dumps(answer) if answer else None
        if found is None:
            raise no_such_path()
        return _json_response(found)

    async def _wait_until_fresh(self, route: Route) -> None:
        rv = reading.resource_version(route.query)
        if not rv or rv <= self.store.rv or route.query.get("resourceVersionMatch") == "Exact":
            return
        deadline = asyncio.get_running_loop().time() + self.freshness_s
        while rv > self.store.rv:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise too_large_resource_version(rv, self.store.rv)
            try:
                await asyncio.wait_for(self.store.advanced.wait(), left)
            except TimeoutError:
                raise too_large_resource_version(rv, self.store.rv) from None

    def _dispatch(self, exchange: Exchange, route: Route, kind: ResourceType, body: bytes) -> web.Response:
        if route.verb not in kind.verbs and not (
            route.subresource and route.verb in ("get", "create", "update", "patch")
        ):
            raise method_not_allowed()
        if route.subresource not in ("", "status"):
            raise unsupported(f"the subresource {kind.plural}/{route.subresource}")
        view = view_for(kind, exchange.request.headers.get("Accept", ""), route.query)
        if route.verb == "get":
            return _json_response(view.item(self.verbs.entry(kind, route.namespace, route.name)))
        if route.verb == "list":
            listing = reading.list_objects(self.store, kind, route.namespace, route.query)
            return _json_response(view.listing(listing.entries, listing.metadata))
        return self._write(exchange, route, kind, body, view)

    def _write(self, exchange: Exchange, route: Route, kind: ResourceType, body: bytes, view: View) -> web.Response:
        content_type = exchange.request.content_type
        write = _write_options(route, exchange.caller)
        if route.verb == "create":
            if kind.namespaced and not route.namespace:
                raise method_not_allowed()
            entry = self.verbs.create(kind, route.namespace, decode(body, content_type), write)
            return self._written(view, entry, write, 201)
        if route.verb == "update":
            obj = decode(body, content_type)
            entry = self.verbs.modify(
                kind, route.namespace, route.name, lambda _: obj, write, subresource=route.subresource, is_put=True
            )
            return self._written(view, entry, write)
        if route.verb == "patch":
            change = _patch_change(kind, content_type, decode(body, content_type))
            entry = self.verbs.modify(kind, route.namespace, route.name, change, write, subresource=route.subresource)
            return self._written(view, entry, write)
        options = _delete_options(route, decode(body, content_type) if body else {})
        write.dry_run = write.dry_run or options.get("dryRun") == ["All"]
        if route.verb == "delete":
            return self._delete(kind, route, options, write, view)
        listing = reading.list_objects(self.store, kind, route.namespace, route.query)
        for entry in listing.entries:
            metadata = entry.obj["metadata"]
            self.verbs.delete(kind, metadata.get("namespace", ""), metadata["name"], options, write)
        return _json_response(view.listing(listing.entries, listing.metadata))

    def _delete(self, kind: ResourceType, route: Route, options: Object, write: Write, view: View) -> web.Response:
        entry, gone = self.verbs.delete(kind, route.namespace, route.name, options, write)
        if not gone:
            return self._written(view, entry, write)
        details = {"name": route.name, "group": kind.group, "kind": kind.plural, "uid": entry.obj["metadata"]["uid"]}
        if not kind.group:
            del details["group"]
        status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return _json_response(orjson.dumps(status))

    def _written(self, view: View, entry: Entry, write: Write, code: int = 200) -> web.Response:
        response = _json_response(view.item(entry), code)
        for text in write.warnings:
            response.headers.add("Warning", f'299 - "{text}"'.replace("\n", " "))
        return response

    async def _watch(self, exchange: Exchange, route: Route, kind: ResourceType) -> web.StreamResponse:
        if "watch" not in kind.verbs:
            raise method_not_allowed()
        view = view_for(kind, exchange.request.headers.get("Accept", ""), route.query)
        watch = Watch(self.store, kind, route.namespace, route.name, route.query, view, self.bookmark_interval_s)
        response = web.StreamResponse(headers={"Content-Type": _JSON, "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(exchange.request)
        try:
            subscription, opening = watch.opening()
        except StatusError as error:
            await response.write(error_line(error))
            return response
        try:
            if opening:
                await response.write(b"".join(line.data for line in opening))
            async for batch in watch.lines(subscription):
                await response.write(b"".join(line.data for line in batch))
        except (ConnectionError, asyncio.CancelledError):
            logger.debug("watch of %s left by %s", kind.plural, exchange.caller.client)
        finally:
            watch.close(subscription)
        return response


def decode(body: bytes, content_type: str) -> Any:
    """A request body as data: JSON, or YAML where the content type says so."""
    if content_type == protobuf.CONTENT_TYPE:
        return protobuf.decode(body)
    if "cbor" in content_type:
        raise StatusError(
            415, f"the body of the request was in an unknown format - accepted media types include: {_JSON}"
        )
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "yaml" not in content_type:
            raise bad_request(f"couldn't decode the body of the request: {error}") from error
    try:
        return yaml.safe_load(body)
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


def _patch_change(kind: ResourceType, content_type: str, patch: Any) -> Callable[[Object], Any]:
    if content_type == patching.MERGE:
        return lambda obj: patching.merge_patch(obj, patch)
    if content_type == patching.JSON:
        return lambda obj: patching.json_patch(obj, patch)
    if content_type == patching.STRATEGIC and not kind.custom:
        name = schema_names().get((kind.api_version, kind.kind))
        schema = resolve({"$ref": f"#/{name}"}) if name else None
        return lambda obj: patching.strategic_patch(obj, patch, schema)
    accepted = [patching.JSON, patching.MERGE, patching.APPLY] + ([] if kind.custom else [patching.STRATEGIC])
    raise StatusError(
        415, f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )


def _write_options(route: Route, caller: Caller) -> Write:
    dry_run = route.query.get("dryRun", "")
    if dry_run not in ("", "All"):
        raise bad_request(f'Invalid value: "{dry_run}": dryRun: Unsupported value: supported values: "All"')
    manager = route.query.get("fieldManager", "") or caller.agent.partition("/")[0]
    validation = route.query.get("fieldValidation", "") or "Warn"
    if validation not in ("Ignore", "Warn", "Strict"):
        raise bad_request(
            f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        )
    return Write(caller, manager[:128], dry_run == "All", validation)


def _delete_options(route: Route, body: Any) -> Object:
    options = dict(body) if isinstance(body, dict) else {}
    query = route.query
    if "gracePeriodSeconds" in query:
        options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
    if "propagationPolicy" in query:
        options["propagationPolicy"] = query["propagationPolicy"]
    if "orphanDependents" in query:
        options["orphanDependents"] = route.flag("orphanDependents")
    return options


def _json_response(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers={"Content-Type": _JSON})


def _status_response(error: StatusError) -> web.Response:
    response = _json_response(orjson.dumps(error.to_status()), error.code)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return response
