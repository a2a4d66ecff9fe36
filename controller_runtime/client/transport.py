"""One HTTP exchange with the API server: headers, timeouts, credentials, and every library error turned into ours.

It never sends a request twice, except once after a 401 when fresh credentials could be had: urllib3's own retries are off, because
a DELETE that is silently re-sent may hit a new object of the same name. What to do about a failure is decided by the caller's
queue or reflector. Bodies are read in `reply`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from controller_runtime.client.exchange import Exchange, RequestObserver
from controller_runtime.client.flow_control import AdaptiveGate
from controller_runtime.client.reply import explain, read_body
from controller_runtime.client.status import error_from_reply, is_eviction_refusal
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import ApiError, ConnectionFailed, TooManyRequests, Unauthorized

JSON = "application/json"

MAX_BODY_BYTES = 1 << 30
MAX_ERROR_BODY_BYTES = 64 << 10

Query = Mapping[str, str | int | bool | None]
T = TypeVar("T")


class Endpoint(Protocol):
    """Where the API server is and who we are."""

    @property
    def host(self) -> str:
        """Base URL without a trailing slash."""

    def pool(self, *, streaming: bool) -> urllib3.PoolManager:
        """The connections to use; watches have their own, so that they cannot starve requests."""

    def authorization(self) -> str | None:
        """The Authorization header to send now, None for certificate or anonymous access."""

    def refresh(self, refused: str | None) -> bool:
        """`refused` was answered with 401: read the credentials again. True when there is something new to try."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `read_s` bounds each wait for bytes, `total_s` a whole exchange."""

    connect_s: float = 5.0
    read_s: float = 30.0
    total_s: float = 120.0


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    url: str
    body: bytes | None
    content_type: str | None
    accept: str
    retry_of: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Transport:
    """Sends requests to one API server. Thread-safe."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        user_agent: str,
        timeouts: Timeouts = Timeouts(),  # frozen
        gate: AdaptiveGate | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._endpoint = endpoint
        self._user_agent = user_agent
        self._timeouts = timeouts
        self._gate = gate or AdaptiveGate(clock=clock)
        self._clock = clock
        self._observers: list[RequestObserver] = []
        self._host = urlsplit(endpoint.host).netloc

    def add_observer(self, observer: RequestObserver) -> None:
        """Tell `observer` of every exchange from now on."""
        self._observers.append(observer)

    def close(self) -> None:
        """Close idle connections."""
        for streaming in (False, True):
            manager = self._endpoint.pool(streaming=streaming)
            pools = [manager.pools.get(key) for key in manager.pools.keys()]  # noqa: SIM118  # it forbids iteration
            manager.clear()
            # urllib3 closes the connections of a dropped pool only when it is collected, and any error that somebody keeps keeps it alive.
            for pool in pools:
                if pool is not None:
                    pool.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str = JSON,
    ) -> bytes:
        """One exchange; returns the body of a 2xx reply, raises `ApiError` for anything else."""
        call = self._call(method, path, query, body, content_type, accept)
        with self._gate.slot(self._timeouts.read_s):
            try:
                reply = self._with_fresh_credentials(call, self._exchange)
            except TooManyRequests as error:
                if not is_eviction_refusal(error):
                    self._gate.shrink()
                raise
        self._gate.grow()
        return reply

    def open(
        self,
        path: str,
        *,
        query: Query,
        read_timeout_s: float,
        method: str = "GET",
        body: bytes | None = None,
        accept: str = JSON,
    ) -> urllib3.BaseHTTPResponse:
        """Ask for `path` and return the live reply as soon as its 2xx head is there. `body` is JSON."""
        call = self._call(method, path, query, body, JSON if body is not None else None, accept)
        timeout = urllib3.Timeout(connect=self._timeouts.connect_s, read=read_timeout_s)
        return self._with_fresh_credentials(call, lambda c, auth: self._open_stream(c, auth, timeout))

    def _call(
        self, method: str, path: str, query: Query | None, body: bytes | None, content_type: str | None, accept: str
    ) -> _Call:
        text = urlencode({k: _query_value(v) for k, v in (query or {}).items() if v is not None})
        url = f"{self._endpoint.host}{path}"
        return _Call(method, path, f"{url}?{text}" if text else url, body, content_type, accept)

    def _with_fresh_credentials(self, call: _Call, run: Callable[[_Call, str | None], T]) -> T:
        authorization = self._endpoint.authorization()
        try:
            return run(call, authorization)
        except Unauthorized as error:
            if not self._endpoint.refresh(authorization):
                raise
            refused = str(error.code)
        return run(replace(call, retry_of=refused), self._endpoint.authorization())

    def _exchange(self, call: _Call, authorization: str | None) -> bytes:
        deadline = self._clock.monotonic() + self._timeouts.total_s
        timeout = urllib3.Timeout(connect=self._timeouts.connect_s, read=self._timeouts.read_s)
        with self._observed(call) as exchange:
            response = self._open(call, authorization, timeout, exchange, streaming=False)
            body = read_body(response, str(call), limit=MAX_BODY_BYTES, deadline=deadline, clock=self._clock)
            exchange.response_bytes = len(body)
        return body

    def _open_stream(
        self, call: _Call, authorization: str | None, timeout: urllib3.Timeout
    ) -> urllib3.BaseHTTPResponse:
        with self._observed(call) as exchange:
            return self._open(call, authorization, timeout, exchange, streaming=True)

    def _open(
        self,
        call: _Call,
        authorization: str | None,
        timeout: urllib3.Timeout,
        exchange: Exchange,
        *,
        streaming: bool,
    ) -> urllib3.BaseHTTPResponse:
        try:
            response = self._endpoint.pool(streaming=streaming).request(
                call.method,
                call.url,
                headers=self._headers(call, authorization, streaming),
                body=call.body,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (HTTPError, OSError, ValueError) as error:
            raise ConnectionFailed(f"no reply from {self._host}: {explain(error)}", call=str(call)) from error
        exchange.code = str(response.status)
        if 200 <= response.status < 300:
            return response
        raise self._refusal(call, response, exchange)

    def _refusal(self, call: _Call, response: urllib3.BaseHTTPResponse, exchange: Exchange) -> ApiError:
        deadline = self._clock.monotonic() + self._timeouts.read_s
        try:
            body = read_body(response, str(call), limit=MAX_ERROR_BODY_BYTES, deadline=deadline, clock=self._clock)
            exchange.response_bytes = len(body)
        except ConnectionFailed:
            body = b""  # The status line alone says enough.
        return error_from_reply(response.status, body, response.headers, call=str(call), now=self._clock.now())

    def _headers(self, call: _Call, authorization: str | None, streaming: bool) -> dict[str, str]:
        headers = {"Accept": call.accept, "User-Agent": self._user_agent}
        # The server compresses large lists on request; a compressed watch would only add delay.
        headers["Accept-Encoding"] = "identity" if streaming or self._is_loopback() else "gzip"
        if call.content_type:
            headers["Content-Type"] = call.content_type
        if authorization:
            headers["Authorization"] = authorization
        return headers

    def _is_loopback(self) -> bool:
        return self._host.startswith(("127.", "localhost", "[::1]"))

    @contextmanager
    def _observed(self, call: _Call) -> Iterator[Exchange]:
        exchange = Exchange(call.method, self._host, request_bytes=len(call.body or b""), retry_of=call.retry_of)
        started = self._clock.monotonic()
        try:
            yield exchange
        finally:
            exchange.duration_s = self._clock.monotonic() - started
            for observer in self._observers:
                observer(exchange)


def _query_value(value: str | int | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
