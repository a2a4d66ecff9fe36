"""A port in one network namespace that leads to an address in another, for as long as this process lives.

The control plane and the AKS stand-in each listen where they are; kubectl on this machine's loopback reaches the one, pods reach the other.
A thread may be in a network namespace of its own, so no further process is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

OWN = Path("/proc/thread-self/ns/net")
CLONE_NEWNET = 0x40000000
CHUNK = 1 << 16
Address = tuple[str, int]


class Forward:
    """`with Forward(listen, to, listen_in=…, connect_in=…)`: namespaces are files such as `Sandbox.network`; None is our own."""

    def __init__(
        self, listen: Address, to: Address, *, listen_in: Path | None = None, connect_in: Path | None = None
    ) -> None:
        self._listen, self._to = listen, to
        self._listen_in, self._connect_in = listen_in, connect_in
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, name=f"forward-{listen[1]}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._error:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(5.0)

    def _run(self) -> None:
        try:
            listener = self._enter_and_listen()
        except OSError as error:
            self._error = error
            self._loop.close()
            self._ready.set()
            return
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._forward(listener))

    async def _forward(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(self._serve, sock=listener)
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=2.0) if others else None

    def _enter_and_listen(self) -> socket.socket:
        ours = os.open(OWN, os.O_RDONLY)
        try:
            _enter(self._listen_in)
            listener = socket.create_server(self._listen, backlog=256)
            _set_namespace(ours)
            _enter(self._connect_in)
        finally:
            os.close(ours)
        return listener

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with self._open(writer):
            try:
                far_reader, far_writer = await asyncio.open_connection(*self._to)
            except OSError:
                return
            with self._open(far_writer):
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    @contextlib.contextmanager
    def _open(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await source.read(CHUNK):
            target.write(chunk)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()


def _enter(namespace: Path | None) -> None:
    if namespace is None:
        return
    handle = os.open(namespace, os.O_RDONLY)
    try:
        _set_namespace(handle)
    finally:
        os.close(handle)


def _set_namespace(handle: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
