"""Reading the reply of a request: to its end, within a size and a time, and as JSON.

A server that dribbles or floods holds no thread for ever: reading stops at a deadline and at a limit. A connection whose reply was not
read to its end is closed, because its rest would be taken for the next reply.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from controller_runtime.client.decoding import decode_whole
from controller_runtime.clock import Clock
from controller_runtime.errors import ConnectionFailed, MalformedReply
from controller_runtime.resources import Object

READ_PIECE_BYTES = 1 << 20


def read_body(response: urllib3.BaseHTTPResponse, call: str, *, limit: int, deadline: float, clock: Clock) -> bytes:
    """All of it, and the connection is free again; `ConnectionFailed` when it broke off, or passed `limit` bytes or `deadline`."""
    pieces: list[bytes] = []
    size = 0
    problem = ""
    try:
        while not problem and (piece := response.read1(READ_PIECE_BYTES)):
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                problem = f"the reply is larger than {limit} bytes"
            elif clock.monotonic() > deadline:
                problem = f"the reply was not complete in time ({size} bytes so far)"
    except (HTTPError, OSError, ValueError) as error:
        response.close()
        raise ConnectionFailed(f"the reply broke off after {size} bytes: {explain(error)}", call=call) from error
    if problem:
        response.close()
        raise ConnectionFailed(problem, call=call)
    response.release_conn()
    return b"".join(pieces)


def read_lines(response: urllib3.BaseHTTPResponse, call: str) -> Iterator[bytes]:
    """Lines as they come, without their ends; `ConnectionFailed` when the reply breaks off or a line is larger than a piece may be."""
    rest = b""
    try:
        while piece := response.read1(READ_PIECE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > READ_PIECE_BYTES:
                raise ConnectionFailed(f"a line of the reply is larger than {READ_PIECE_BYTES} bytes", call=call)
            yield from lines
        if rest:
            yield rest
    except (HTTPError, OSError, ValueError) as error:
        raise ConnectionFailed(f"the reply broke off: {explain(error)}", call=call) from error
    finally:
        response.close()


def decode_object(body: bytes, call: str) -> Object:
    """A reply body as an object; `MalformedReply` when it is anything else."""
    try:
        decoded = decode_whole(body)
    except orjson.JSONDecodeError as error:
        raise MalformedReply(f"the reply is not JSON: {error}", call=call) from error
    if not isinstance(decoded, dict):
        raise MalformedReply(f"the reply is a JSON {type(decoded).__name__}, expected an object", call=call)
    return decoded


def explain(error: BaseException) -> str:
    """One line for people, without the object addresses that urllib3 prints."""
    text = str(error).split(": ", 1)[-1] if " object at 0x" in str(error) else str(error)
    return f"{type(error).__name__}: {text}"
