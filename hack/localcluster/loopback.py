"""A small HTTP server on loopback, a thread per connection: what the cloud, the model servers and the admin endpoint answer through.

It reads a request whole and hands it to one function; what is answered, and whether at all, is that function's affair. The API server
is not built on it: watches and faults want an event loop there.
"""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog

log = structlog.get_logger("localcluster")


class Exchange(BaseHTTPRequestHandler):
    """One request (`command`, `path`, `lowered` headers, `body`), to be answered by `reply` or, after `close_connection`, not at all."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    answer: Callable[[Exchange], None]
    lowered: Mapping[str, str]
    body: bytes

    def do_GET(self) -> None:
        """Every method comes here."""
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.lowered = {key.lower(): value for key, value in self.headers.items()}
        type(self).answer(self)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the names are http.server's

    def reply(self, status: int, content: bytes, headers: Mapping[str, str], *, sent: int | None = None) -> None:
        """Answer; with `sent`, break off after that many bytes of the content."""
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.close_connection = self.close_connection or sent is not None
        self.wfile.write(content[:sent])

    def reply_pieces(self, pieces: Iterable[bytes], content_type: str) -> None:
        """Answer 200, each piece as soon as it is there."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Quiet: whoever wants a log keeps one."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves early is an everyday event here, not a traceback."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            log.exception("a connection failed", client=client_address)


class LoopbackServer:
    """The port is taken at once (OSError when it cannot be had); answers begin with `start`. `tls`: HTTPS instead of HTTP."""

    def __init__(
        self, name: str, answer: Callable[[Exchange], None], port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._http = _Server(("127.0.0.1", port), type("Handler", (Exchange,), {"answer": staticmethod(answer)}))
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._name = name
        self._thread: threading.Thread | None = None
        self.port = int(self._http.server_address[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join(5.0)
        self._http.server_close()
