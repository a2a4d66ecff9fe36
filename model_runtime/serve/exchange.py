"""Small pieces of ASGI: answering by hand, reading a body within limits, and calling an application in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_runtime.serve.engine.base import ASGIApp, Message, Receive, Scope, Send

MOST_SHOWN = 100
"""Characters of a request's value in a refusal."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON answer."""
    more = tuple((headers or {}).items())
    return Reply(status, json.dumps(body, ensure_ascii=False).encode(), (("content-type", "application/json"), *more))


def openai_error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as OpenAI's clients, and vLLM's, read it; `detail` is for clients of KAITO 0.3."""
    error = {"message": message, "type": kind, "param": None, "code": status}
    return json_reply(status, {"error": error, "detail": message}, headers)


def shown(value: Any) -> str:
    """A value of a request as it is told: JSON, and not more of it than a line holds."""
    return json.dumps(value, default=str)[:MOST_SHOWN]


async def respond(send: Send, reply: Reply) -> None:
    """Sends a whole answer."""
    headers = [*reply.headers, ("content-length", str(len(reply.body)))]
    wire = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": wire})
    await send({"type": "http.response.body", "body": reply.body})


class BodyTooLarge(Exception):
    """More bytes than allowed, or announced."""


class ClientGone(Exception):
    """The connection was closed, or nothing came over it for too long."""


async def read_body(scope: Scope, receive: Receive, limit: int, patience_s: float) -> bytes:
    """The request's body. Raises BodyTooLarge, without having kept more than `limit`, or ClientGone."""
    announced = dict(scope["headers"]).get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise BodyTooLarge
    parts, size = [], 0
    while True:
        try:
            message = await asyncio.wait_for(receive(), patience_s)
        except TimeoutError:
            raise ClientGone from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


class Replay:
    """Hands an application a body that was read already, and afterwards the news that the client left."""

    def __init__(self, body: bytes, gone: asyncio.Event) -> None:
        self._body: bytes | None = body
        self._gone = gone

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}


async def call(app: ASGIApp, scope: Scope, path: str, body: Any, method: str = "POST") -> Reply:
    """Calls `app` in process, with the caller's own headers (credentials, say), and collects the answer."""
    content = json.dumps(body).encode() if method == "POST" else b""
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"content-type", b"accept-encoding")
    ]
    headers = [*kept, (b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    inner = {
        **scope,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
    }
    status, parts = 500, []

    async def collect(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(inner, Replay(content, asyncio.Event()), collect)
    return Reply(status, b"".join(parts))
