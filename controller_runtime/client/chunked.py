"""HTTP/1.1 chunked transfer coding, decoded from large reads.

API servers send each watch event as a chunk of its own, and the HTTP libraries read chunk by chunk: several small reads and Python calls
per event, more work than decoding the event. Here one read takes whatever the socket has, often dozens of chunks, and they are taken
apart in memory. Only the coding is handled; the head of the reply is the library's business.
"""

from __future__ import annotations

from controller_runtime.errors import MalformedReply

MAX_SIZE_LINE = 256


class ChunkDecoder:
    """Feed it what was read; it gives back the payload so far."""

    def __init__(self) -> None:
        self.finished = False
        self._rest = b""
        self._missing = 0

    def feed(self, data: bytes) -> bytes:
        """The payload bytes that `data` completes. Raises `MalformedReply` when the coding is broken."""
        if self._rest:
            data = self._rest + data
        pieces: list[bytes] = []
        position, end = 0, len(data)
        while position < end and not self.finished:
            if self._missing:
                position = self._take_payload(data, position, pieces)
                continue
            newline = data.find(b"\r\n", position)
            if newline < 0:
                break
            if newline > position:  # An empty line is what ends the chunk before.
                self._missing = _size(data[position:newline])
                self.finished = self._missing == 0
            position = newline + 2
        self._rest = data[position:]
        if not self._missing and len(self._rest) > MAX_SIZE_LINE:
            raise MalformedReply("the chunked reply has no chunk size where one is due")
        return b"".join(pieces)

    def _take_payload(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        piece = data[position : position + self._missing]
        self._missing -= len(piece)
        pieces.append(piece)
        return position + len(piece)


def _size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise MalformedReply(f"the chunked reply has {line[:40]!r} where a chunk size is due") from None
