"""A small HTTP server for probes and metrics: GET only, bounded in connections, time and header size.

Whoever can reach the port can open connections, say nothing and stay; the kubelet must be answered all the same. So when every place is
taken, the peer that holds most of them loses the connection that has been idle longest. A connection whose request is being answered
is never taken away; when all are, a newcomer is turned away.

Built on http.server because probes must be answered while everything else is busy or broken, so that fewer moving parts are better.
Handlers are plain functions from a `HttpRequest` to a `Reply`; they run in a thread per connection.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from controller_runtime.errors import FatalError
from controller_runtime.logs import get_logger
from controller_runtime.manager.certificate import ServingCertificate

CONNECTION_TIMEOUT_S = 32.0
"""Between two pieces of a request, and between two requests of one connection."""
MAX_CONNECTIONS = 64
TEXT = "text/plain; charset=utf-8"

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One GET request. `path` has no query string; `parameters` are its decoded pairs."""

    path: str
    parameters: Mapping[str, list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] | Message = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back."""

    status: int
    body: bytes
    content_type: str = TEXT

    @classmethod
    def text(cls, status: int, text: str) -> Reply:
        return cls(status, text.encode())


Handler = Callable[[HttpRequest], Reply]


class HttpServer:
    """Listens from construction on, so that a port in use is an error at start and not a missing probe later."""

    def __init__(
        self, name: str, bind_address: str, handler: Handler, *, certificate: ServingCertificate | None = None
    ) -> None:
        """`bind_address` is "host:port" or ":port"; port 0 picks a free one. With `certificate`, only TLS is spoken. Raises FatalError,
        naming address and cure."""
        self._name = name
        self._thread: threading.Thread | None = None
        host, _, port = bind_address.rpartition(":")
        try:
            self._server = _Server((host.strip("[]"), int(port)), _request_handler(handler), certificate)
        except (OSError, OverflowError) as error:
            raise FatalError(f"cannot listen on {bind_address} for {name}: {error}; choose another address") from error

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name=f"{self._name}-server", daemon=True
        )
        self._thread.start()
        log.info("serving", server=self._name, port=self.port)

    def stop(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join(5.0)
        self._server.server_close()


class _Connections:
    """Who is connected, and which of them has nothing to do: by the socket, in the order in which they became idle. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[socket.socket, str] = {}
        self._busy: dict[socket.socket, str] = {}

    def admit(self, connection: socket.socket, peer: str) -> bool:
        """Count it as idle; False when all places are busy."""
        with self._lock:
            if len(self._idle) + len(self._busy) >= MAX_CONNECTIONS and not self._make_room():
                return False
            self._idle[connection] = peer
            return True

    def note_busy(self, connection: socket.socket, busy: bool) -> None:
        """Its request is complete and being answered, or was answered and the next one may come."""
        with self._lock:
            source, target = (self._idle, self._busy) if busy else (self._busy, self._idle)
            if connection in source:
                target[connection] = source.pop(connection)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._idle.pop(connection, None)
            self._busy.pop(connection, None)

    def _make_room(self) -> bool:
        if not self._idle:
            return False
        places = Counter([*self._idle.values(), *self._busy.values()])
        most = max(places[peer] for peer in self._idle.values())
        longest_idle = next(entry for entry, peer in self._idle.items() if places[peer] == most)
        del self._idle[longest_idle]
        with suppress(OSError):
            # Of the plain socket, also under TLS: it wakes the thread that reads from it, which then closes it.
            socket.socket.shutdown(longest_idle, socket.SHUT_RDWR)
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], certificate: ServingCertificate | None
    ) -> None:
        self._certificate = certificate
        self.connections = _Connections()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        connection, peer = super().get_request()
        if self._certificate is None:
            return connection, peer
        # The handshake happens in the connection's thread, so that a slow peer holds up nobody else.
        context = self._certificate.context()
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), peer

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.connections.admit(request, str(client_address[0])):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.connections.forget(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that hangs up or talks nonsense is not our error."""
        log.debug("connection ended early", peer=str(client_address[0]))


def _request_handler(handler: Handler) -> type[BaseHTTPRequestHandler]:
    class RequestHandler(BaseHTTPRequestHandler):
        timeout = CONNECTION_TIMEOUT_S
        protocol_version = "HTTP/1.1"
        server_version = "controller-runtime"
        sys_version = ""

        server: _Server

        def do_GET(self) -> None:  # http.server's naming
            self.server.connections.note_busy(self.connection, busy=True)
            reply = self._reply()
            self.server.connections.note_busy(self.connection, busy=False)
            self._answer(reply)

        do_HEAD = do_GET  # noqa: N815

        def _reply(self) -> Reply:
            parts = urlsplit(self.path)
            try:
                return handler(HttpRequest(parts.path, parse_qs(parts.query, keep_blank_values=True), self.headers))
            except Exception:
                log.exception("request failed", path=parts.path)
                return Reply.text(500, "internal error\n")

        def _answer(self, reply: Reply) -> None:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Probes come every few seconds; a line for each would drown the log."""

    return RequestHandler
