"""What our connections do beyond urllib3's: they can be interrupted while they wait, and they ask once more before they send.

Waking a blocked thread, so that a stop does not have to wait for a timeout: closing a socket does not wake who reads from it; shutting it
down does. The thread declares what may interrupt it, the connections that it uses report their socket, and whoever wants to stop
it fires. Only establishing a connection cannot be interrupted; that ends with the connect timeout.

Asking before the send: between the decision to write and the first byte lie a wait for a place among the requests in flight, perhaps a
new token and a new connection, each of them seconds. Whoever must not write after a certain moment declares a check for its thread; it is
called when the connection stands and nothing but the system call is left to do, before the head and before each piece of the body. A
request whose body does not follow is never carried out by the server.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

POOL_SIZE = 32
WATCH_POOL_SIZE = 64

KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 30, 15, 3
"""A peer that vanished without a word is noticed after 75 s, also by a watch that has not seen a bookmark yet."""

_this_thread = threading.local()


class Interrupt:
    """One blocked thread's bell. Once fired it stays fired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._fired = False

    def fire(self) -> None:
        """Make the network call that is under way fail now, and every later one as well."""
        with self._lock:
            self._fired = True
            self._shut_down()

    @contextmanager
    def covers_this_thread(self) -> Iterator[None]:
        """Every network call of the calling thread in this block can be interrupted."""
        _this_thread.interrupt = self
        try:
            yield
        finally:
            _this_thread.interrupt = None
            self.watch_socket(None)

    def watch_socket(self, used: socket.socket | None) -> None:
        """This thread now waits on `used`."""
        with self._lock:
            self._socket = used
            if self._fired:
                self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # It was closed a moment ago, which wakes nobody who still cares.
                self._socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def checked_before_sending(check: Callable[[], None]) -> Iterator[None]:
    """Within this block `check` is called right before the calling thread sends a piece of a request; what it raises ends the request."""
    _this_thread.check = check
    try:
        yield
    finally:
        _this_thread.check = None


def _ask() -> None:
    check: Callable[[], None] | None = getattr(_this_thread, "check", None)
    if check is not None:
        check()


def _report(used: socket.socket | None) -> None:
    interrupt: Interrupt | None = getattr(_this_thread, "interrupt", None)
    if interrupt is not None:
        interrupt.watch_socket(used)


class _Connection(HTTPConnection):
    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()  # What `send` would do itself, but after the question.
        _ask()
        super().send(data)

    def getresponse(self) -> Any:
        _report(self.sock)
        return super().getresponse()


class _TlsConnection(HTTPSConnection):
    def send(self, data: Any) -> None:
        if self.sock is None and self.auto_open:
            self.connect()  # What `send` would do itself, but after the question.
        _ask()
        super().send(data)

    def getresponse(self) -> Any:
        _report(self.sock)
        return super().getresponse()


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def use_our_connections(manager: urllib3.PoolManager) -> None:
    """Let the manager's future connections report their sockets and ask before they send.

    SOCKS proxies need connection classes of their own and are left as they are.
    """
    if type(manager) in (urllib3.PoolManager, urllib3.ProxyManager):
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def keepalive_options() -> list[tuple[int, int, int]]:
    """Options of our sockets: urllib3's own, and probes of a silent peer as often as this system can."""
    probes = {"TCP_KEEPIDLE": KEEPALIVE_IDLE_S, "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S, "TCP_KEEPCNT": KEEPALIVE_PROBES}
    return [
        *HTTPConnection.default_socket_options,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        *(
            (socket.IPPROTO_TCP, getattr(socket, name), value)
            for name, value in probes.items()
            if hasattr(socket, name)
        ),
    ]
