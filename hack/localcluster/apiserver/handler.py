"""HTTP: authenticates, authorizes, decodes, injects faults, encodes, and keeps the audit log. The only place that answers sockets."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any

import orjson
from multidict import CIMultiDict

from controller_runtime.untrusted import nesting
from hack.localcluster.apiserver import discovery, protobuf, reading
from hack.localcluster.apiserver.answers import Answer, error_answer, json_answer
from hack.localcluster.apiserver.auth import Authenticator, impersonated
from hack.localcluster.apiserver.dispatch import Ask, Dispatcher, attributes_of
from hack.localcluster.apiserver.errors import (
    StatusError,
    bad_request,
    forbidden,
    method_not_allowed,
    no_such_path,
    too_large_resource_version,
    unreadable,
)
from hack.localcluster.apiserver.following import follow, is_followed
from hack.localcluster.apiserver.negotiation import view_for
from hack.localcluster.apiserver.objects import AuditEntry, Caller
from hack.localcluster.apiserver.openapi import OpenApi
from hack.localcluster.apiserver.proxying import Backend, forward
from hack.localcluster.apiserver.rbac import Attributes, Rbac
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.routing import Route, parse_route
from hack.localcluster.apiserver.store import Store
from hack.localcluster.apiserver.streaming import Stream, StreamEndedError, until_released
from hack.localcluster.apiserver.watching import Watch
from hack.localcluster.apiserver.webserver import web
from hack.localcluster.faults import Call, Fault, FaultKind, FaultPlan

MAX_NESTING = 200
"""orjson reads 1024 levels and writes 254."""

logger = logging.getLogger("localcluster.apiserver")
_JSON = "application/json"
_NOT_ACCEPTABLE = 406
_READABLE = (_JSON, "application/yaml", protobuf.CONTENT_TYPE)
_MEDIA_TYPE = re.compile(r"\s*([\w.+-]+/[\w.+-]+)\s*(?:;\s*[\w-]+\s*=\s*(?:\"[^\"]*\"|[^;\s\"]+)\s*)*;?\s*")
_NO_OPENAPI_V2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""An empty document: kubectl asks for it where v3 has no schema, and then says by itself that there is no such kind."""
_HEALTH = frozenset({"/healthz", "/readyz", "/livez"})
_POLL_S = 0.01


@dataclass(slots=True)
class Parts:
    """The rest of the server, as the handler needs it."""

    store: Store
    registry: Registry
    authenticator: Authenticator
    rbac: Rbac
    dispatcher: Dispatcher
    faults: FaultPlan
    bookmark_interval_s: float
    freshness_s: float
    proxy_backend: Backend | None = None


class _DroppedError(Exception):
    """The connection was broken on purpose."""


class Handler:
    """Answers every request of one server."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.openapi = OpenApi(parts.registry)
        self.audit: list[AuditEntry] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """aiohttp's entry point."""
        exchange = Exchange(self, request)
        response: web.StreamResponse
        code = 0
        try:
            response = await exchange.run()
            code = response.status
        except _DroppedError:
            if request.transport is not None:
                request.transport.abort()
            response = web.Response()
        finally:
            self.audit.append(exchange.audit_entry(code))
        return response


class Exchange:
    """One request on its way through."""

    def __init__(self, handler: Handler, request: web.BaseRequest) -> None:
        self.handler = handler
        self.parts = handler.parts
        self.request = request
        self.caller = Caller("", (), request.headers.get("User-Agent", ""))
        self.route: Route | None = None
        self.created_name = ""

    def audit_entry(self, code: int) -> AuditEntry:
        """What is noted about it."""
        route, caller = self.route, self.caller
        if route is None:
            return AuditEntry(caller.user, caller.agent, "get", "", "", "", "", "", self.request.path, code)
        name = route.name or self.created_name
        place = (route.verb, route.group, route.resource, route.subresource, route.namespace, name)
        dry_run = "dryRun" in self.request.query
        return AuditEntry(caller.user, caller.agent, *place, self.request.path, code, dry_run)

    async def run(self) -> web.StreamResponse:
        """Answer, with faults."""
        fault: Fault | None = None
        try:
            self._identify()
            self.route = parse_route(self.request.method, self.request.path, self.request.query)
            if self.route is None:
                return await self._reply(self._non_resource(), None)
            kind = self._resource_type(self.route)
            raw = await self.request.read() if self.request.can_read_body else b""
            is_proxy = self.route.subresource == "proxy"
            body = None if is_proxy else self._body(raw, self.route)
            if self.route.verb == "create" and isinstance(body, dict):
                metadata = body.get("metadata")
                self.created_name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
            fault = self._fault(self.route)
            await self._before(fault)
            if self.route.verb == "watch":
                return await self._watch(self.route, kind, fault)
            if is_proxy:
                proxied = await forward(self.request, self.route, raw, self.parts.proxy_backend)
                if isinstance(proxied, web.StreamResponse):
                    return proxied
                answer = proxied
            else:
                await self._wait_until_fresh(self.route)
                ask = self._ask(self.route, kind, body)
                if is_followed(ask) and (fault is None or fault.kind is FaultKind.DELAY):
                    return await follow(self.request, self.parts.dispatcher, ask)
                answer = self.parts.dispatcher.answer(ask)
        except StatusError as error:
            answer = error_answer(error)
        except (web.HTTPRequestEntityTooLarge, OverflowError) as error:
            answer = error_answer(StatusError(413, f"Request entity too large: {error}"))
        except (_DroppedError, asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            logger.exception("%s %s", self.request.method, self.request.path_qs)
            answer = error_answer(StatusError(500, f"localcluster failed: {type(error).__name__}: {error}"))
        return await self._reply(answer, fault)

    def _ask(self, route: Route, kind: ResourceType, body: Any) -> Ask:
        headers = self.request.headers
        media_type = media_type_of(headers.get("Content-Type", ""))
        return Ask(route, kind, self.caller, body, media_type, headers.get("Accept", ""))

    def _body(self, raw: bytes, route: Route) -> Any:
        """The decoded body, or the refusal of it: options and the caller's rights are judged first."""
        try:
            media_type = media_type_of(self.request.headers.get("Content-Type", ""))
            if media_type not in _READABLE and (route.verb in ("create", "update") or (raw and route.verb != "patch")):
                raise unreadable(_READABLE)
            body = decode(raw, media_type) if raw else None
            # Go decodes null as an object without fields.
            return {} if body is None and raw and route.verb in ("create", "update") else body
        except StatusError as error:
            return error

    def _identify(self) -> None:
        headers, parts = self.request.headers, self.parts
        self.caller = parts.authenticator.caller(headers, trusted=not self.request.secure)
        user = headers.get("Impersonate-User", "")
        if not user:
            return
        groups = headers.getall("Impersonate-Group", [])
        wanted = [Attributes("impersonate", resource="users", name=user)]
        wanted += [Attributes("impersonate", resource="groups", name=group) for group in groups]
        for attributes in wanted:
            if not parts.rbac.allows(self.caller, attributes):
                raise StatusError(
                    403,
                    f"{attributes.resource} {attributes.name!r} is forbidden: {attributes.denial(self.caller.user)}",
                )
        self.caller = impersonated(self.caller, user, groups)

    def _resource_type(self, route: Route) -> ResourceType:
        kind = self.parts.registry.get(route.group, route.version, route.resource)
        wanted = attributes_of(route)
        if not self.parts.rbac.allows(self.caller, wanted):
            denial = wanted.denial(self.caller.user)
            if kind is None:
                raise StatusError(403, f"{route.resource}.{route.group} is forbidden: {denial}")
            raise forbidden(kind, wanted.name, denial)
        if kind is None or (route.subresource and route.subresource not in kind.subresources):
            raise no_such_path()
        return kind

    def _non_resource(self) -> Answer:
        path, parts = self.request.path.rstrip("/") or "/", self.parts
        wanted = Attributes(self.request.method.lower(), path=path)
        if not parts.rbac.allows(self.caller, wanted):
            raise StatusError(403, f"forbidden: {wanted.denial(self.caller.user)}")
        if self.request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if path in _HEALTH or path.rpartition("/")[0] in _HEALTH:
            return Answer(b"ok", content_type="text/plain")
        if path == "/openapi/v3":
            return Answer(self.handler.openapi.index())
        if path == "/openapi/v2":
            return Answer(b"", content_type=_NO_OPENAPI_V2)
        if path.startswith("/openapi/v3/"):
            document = self.handler.openapi.document(path.removeprefix("/openapi/v3/"))
            if document is not None:
                return Answer(document)
        found = discovery.answer(parts.registry, path, self.request.host)
        if found is None:
            raise no_such_path()
        return json_answer(found)

    async def _wait_until_fresh(self, route: Route) -> None:
        store = self.parts.store
        rv = reading.resource_version(route.query) if route.verb in ("get", "list") else None
        if not rv or rv <= store.rv or route.query.get("resourceVersionMatch") == "Exact":
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.parts.freshness_s
        while rv > store.rv:
            if loop.time() >= deadline:
                raise too_large_resource_version(rv, store.rv)
            await asyncio.sleep(_POLL_S)

    def _call(self, route: Route) -> Call:
        return Call(
            server="kube",
            verb=route.verb,
            group=route.group,
            resource=route.resource,
            subresource=route.subresource,
            namespace=route.namespace,
            name=route.name or self.created_name,
            client=self.caller.client,
        )

    def _fault(self, route: Route) -> Fault | None:
        return None if self.parts.faults.is_empty else self.parts.faults.decide(self._call(route))

    async def _before(self, fault: Fault | None) -> None:
        if fault is None:
            return
        match fault.kind:
            case FaultKind.STATUS:
                raise StatusError(fault.code, fault.message, reason=fault.reason, retry_after_s=fault.retry_after_s)
            case FaultKind.DELAY:
                await asyncio.sleep(fault.seconds or 0)
            case FaultKind.DROP_BEFORE_COMMIT:
                raise _DroppedError
            case FaultKind.BLACK_HOLE:
                await until_released(self.parts.faults, fault)
                raise _DroppedError

    async def _reply(self, answer: Answer, fault: Fault | None) -> web.StreamResponse:
        headers = [("Content-Type", answer.content_type), *answer.headers]
        kind = fault.kind if fault else None
        if kind is FaultKind.COMMIT_THEN_DROP:
            raise _DroppedError
        if kind is FaultKind.GARBAGE:
            return web.Response(body=b"<html>this is not JSON", headers={"Content-Type": _JSON})
        if kind is FaultKind.TRUNCATE:
            partial = web.StreamResponse(status=answer.code, headers=CIMultiDict(headers))
            partial.content_length = len(answer.body)
            await partial.prepare(self.request)
            await partial.write(answer.body[: len(answer.body) // 2])
            raise _DroppedError
        return web.Response(body=answer.body, status=answer.code, headers=CIMultiDict(headers))

    async def _watch(self, route: Route, kind: ResourceType, fault: Fault | None) -> web.StreamResponse:
        parts = self.parts
        if "watch" not in kind.verbs:
            raise method_not_allowed()
        view = view_for(kind, self.request.headers.get("Accept", ""), route.query, watching=True)
        watch = Watch(parts.store, kind, route.namespace, route.name, route.query, view, parts.bookmark_interval_s)
        if fault is not None and fault.kind in (FaultKind.COMMIT_THEN_DROP, FaultKind.GARBAGE, FaultKind.TRUNCATE):
            return await self._reply(Answer(b'{"type":"ADDED","object":{"kind":"'), fault)
        response = web.StreamResponse(headers={"Content-Type": _JSON, "Cache-Control": "no-cache, private"})
        response.enable_chunked_encoding()
        await response.prepare(self.request)
        stream = Stream(response, watch, parts.faults, self._call(route))
        try:
            await self._send(watch, stream)
        except StatusError as error:
            if error.code != _NOT_ACCEPTABLE:  # a form that no single object has: the stream ends without a word
                await stream.fail(error)
        except StreamEndedError as ended:
            if ended.abort:
                raise _DroppedError from ended
        except ConnectionError:
            logger.debug("watch of %s left by %s", kind.plural, self.caller.client)
        return response

    @staticmethod
    async def _send(watch: Watch, stream: Stream) -> None:
        subscription, opening = watch.opening()
        try:
            await stream.send(opening)
            async for batch in watch.lines(subscription):
                await stream.send(batch)
        finally:
            watch.close(subscription)


def media_type_of(header: str) -> str:
    """The media type of a Content-Type header, JSON when there is none, "" for what is none."""
    match = _MEDIA_TYPE.fullmatch(header or _JSON)
    return match[1].lower() if match else ""


def _check_nesting(body: bytes) -> None:
    """What could be read and not be written again must not be stored. Real servers take ten thousand levels."""
    if body.count(b"{") + body.count(b"[") > MAX_NESTING and nesting(body.decode("utf-8", "replace")) > MAX_NESTING:
        raise bad_request(f"the body is nested deeper than {MAX_NESTING} levels, the most that localcluster keeps")


def decode(body: bytes, content_type: str) -> Any:
    """A request body as data: JSON, Kubernetes protobuf, or YAML where the content type says so."""
    if content_type == protobuf.CONTENT_TYPE:
        return protobuf.decode(body)
    _check_nesting(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "yaml" not in content_type:
            raise bad_request(f"couldn't decode the body of the request: {error}") from error
    import yaml  # kubectl sends JSON in its name

    try:
        return orjson.loads(orjson.dumps(yaml.load(body, Loader=yaml.CSafeLoader), default=str))
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise bad_request(f"error decoding YAML: {error}") from error
