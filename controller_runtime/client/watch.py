"""An open watch: bytes from the network in, batches of decoded frames out.

The stream is newline-separated JSON. Frames are handed out as many at a time as one read brought, because per-frame hand-over
(a lock, a notify, a thread switch) costs more than decoding. It does not reconnect, count or judge frames: that is the reflector's.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Sequence
from types import TracebackType

import orjson
import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from controller_runtime.client.api import Frame, WatchEvent
from controller_runtime.client.chunked import ChunkDecoder
from controller_runtime.client.decoding import decode_frame
from controller_runtime.errors import ConnectionFailed, MalformedReply, WatchStalled

READ_BYTES = 256 << 10
BATCH_EVENTS = 32
"""Enough to share the cost of handing over, few enough that replaced objects are freed while their memory is still in the cache."""

MAX_FRAME_BYTES = 8 << 20
"""etcd keeps objects below about 1.5 MiB and JSON escapes may double that; a longer line is not a frame."""


class HttpWatchStream:
    """Implements `api.WatchStream` over a live HTTP reply."""

    def __init__(self, response: urllib3.BaseHTTPResponse, call: str, read_timeout_s: float) -> None:
        self._response = response
        self._call = call
        self._read_timeout_s = read_timeout_s
        self._stopped = False
        self._chunks = ChunkDecoder()
        self._raw = _raw_reader(response)
        self._read = self._read_plain if self._raw is None else self._read_chunked

    def __enter__(self) -> HttpWatchStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A watch connection is never reused: its unread rest would be taken for the next reply.
        self._response.close()

    def __iter__(self) -> Iterator[WatchEvent]:
        for batch in self.batches():
            yield from map(WatchEvent._make, batch)

    def expect_frame_within(self, seconds: float) -> None:
        sock = getattr(self._response.connection, "sock", None)
        if sock is not None:
            sock.settimeout(seconds)
            self._read_timeout_s = seconds

    def stop(self) -> None:
        self._stopped = True
        try:
            # Closing would not wake a thread that is blocked in recv; shutting the socket down does.
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            return  # It is already closed, which is what was asked for.

    def batches(self) -> Iterator[Sequence[Frame]]:
        rest = b""
        for piece in self._pieces():
            lines = (rest + piece).split(b"\n") if rest else piece.split(b"\n")
            rest = lines.pop()
            if len(rest) > MAX_FRAME_BYTES:
                raise MalformedReply(f"a watch frame is longer than {MAX_FRAME_BYTES} bytes", call=self._call)
            if lines:
                yield from self._decode(lines)
        if rest.strip() and not self._stopped:
            raise ConnectionFailed(f"the watch ended inside a frame ({len(rest)} bytes of it came)", call=self._call)

    def _decode(self, lines: list[bytes]) -> Iterator[Sequence[Frame]]:
        events: list[Frame] = []
        for line in lines:
            if not line:
                continue
            try:
                frame = decode_frame(line)
                events.append((frame["type"], frame["object"]))
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                yield events
                raise MalformedReply(f"not a watch frame: {line[:80]!r} ({error})", call=self._call) from error
            if len(events) == BATCH_EVENTS:
                yield events
                events = []
        if events:
            yield events

    def _pieces(self) -> Iterator[bytes]:
        try:
            while not self._stopped and (piece := self._read()):
                yield piece
        except (ReadTimeoutError, TimeoutError) as error:
            if not self._stopped:
                raise WatchStalled(self._say_stalled(error), call=self._call) from error
        except (HTTPError, OSError, ValueError) as error:
            if not self._stopped:
                raise ConnectionFailed(f"the watch broke off: {error}", call=self._call) from error

    def _say_stalled(self, error: Exception) -> str:
        if isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
            return "the peer has vanished: it answers no keep-alive probes"
        return f"no frame for {self._read_timeout_s:g} s"

    def _read_plain(self) -> bytes:
        return self._response.read1(READ_BYTES)

    def _read_chunked(self) -> bytes:
        """Payload from as many chunks as one read brings; b"" at the end of the stream."""
        raw = self._raw
        while raw is not None and not self._chunks.finished:
            data = raw.read1(READ_BYTES)
            if not data:
                if self._stopped:
                    return b""
                raise ConnectionFailed(
                    "the watch broke off: the connection was closed inside the stream", call=self._call
                )
            payload = self._chunks.feed(data)
            if payload:
                return payload
        return b""


def _raw_reader(response: urllib3.BaseHTTPResponse) -> io.BufferedReader | None:
    """The buffered socket under a chunked reply, where urllib3 still shows it; otherwise its slower `read1` serves."""
    original = getattr(response, "_original_response", None)
    raw = getattr(original, "fp", None)
    plain = response.headers.get("Content-Encoding", "identity") == "identity"
    return raw if plain and getattr(original, "chunked", False) and isinstance(raw, io.BufferedReader) else None
