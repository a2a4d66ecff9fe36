"""An HTTP server written by hand, byte by byte, so that a test can misbehave exactly as it wants.

A test gives a function that receives each request and a `Wire` to answer on. Whatever it does with the socket (half a line, a reset,
silence) is what the client gets. Every request line and its query are kept for assertions.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from controller_runtime.client.kubernetes_client import Client

SO_ATTACH_FILTER = 26
BPF_RETURN = 0x06


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"


class Wire:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.connection = connection
        self._closing = closing
        self.answered = False
        self.gone = False

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, code: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        lines = {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        head = "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.raw(f"HTTP/1.1 {code} X\r\n{head}\r\n".encode() + data)
        self.answered = True

    def status(self, code: int, reason: str = "", headers: dict[str, str] | None = None, **details: Any) -> None:
        body = {"kind": "Status", "code": code, "reason": reason, "message": f"scripted {code}", "details": details}
        self.reply(code, body, headers)

    def start_stream(self) -> None:
        self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def event(self, kind: str, obj: Any) -> None:
        self.chunk(orjson.dumps({"type": kind, "object": obj}) + b"\n")

    def end_stream(self) -> None:
        self.raw(b"0\r\n\r\n")

    def reset(self) -> None:
        """Close with a TCP reset instead of a polite end; it goes out as soon as the script returns, which ends the reading too."""
        self.gone = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def vanish(self) -> None:
        """Drop every packet that comes in from now on, as a pulled cable does: no data, no acknowledgement, no reset. Linux only."""
        drop_all = struct.pack("HBBI", BPF_RETURN, 0, 0, 0)
        program = ctypes.create_string_buffer(drop_all)
        one_instruction = struct.pack("HP", 1, ctypes.addressof(program))
        self.connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, one_instruction)

    def hold(self) -> None:
        """Say nothing more until the test is over or the client goes away."""
        self.connection.settimeout(0.02)
        while not self._closing.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


Script = Callable[[Request, Wire], None]


@dataclass
class ScriptedServer:
    """Use as a context manager. `script` runs in one thread per connection."""

    script: Script
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> ScriptedServer:
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for connection in self._connections:
            connection.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def client(self, directory: Path, **options: Any) -> Client:
        """A real client of this server."""
        return Client.from_kubeconfig(write_kubeconfig(directory / "kubeconfig", self.url), **options)

    def lists(self) -> list[Request]:
        return [r for r in self.requests if r.method == "GET" and not r.is_watch]

    def watches(self) -> list[Request]:
        return [r for r in self.requests if r.is_watch]

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        wire = Wire(connection, self._closing)
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as reader:
            while line := reader.readline():
                request = self._read(line, reader)
                self.requests.append(request)
                wire.answered = False
                self.script(request, wire)
                if wire.gone or (request.is_watch and not wire.answered):
                    return  # What follows a stream on its connection is nobody's reply.

    def _read(self, line: bytes, reader: Any) -> Request:
        method, target, _ = line.decode().split()
        headers = {}
        while (header := reader.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))
        url = urlsplit(target)
        return Request(method, url.path, dict(parse_qsl(url.query)), headers, body)


def write_kubeconfig(path: Path, server: str, user: dict[str, Any] | None = None) -> Path:
    """A kubeconfig with one cluster and one user."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": "first-token"} if user is None else user}],
    }
    path.write_bytes(orjson.dumps(config))
    return path
