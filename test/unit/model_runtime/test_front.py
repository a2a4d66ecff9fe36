"""What stands before every engine, with an engine that is played: a client that takes nothing, and an engine that takes its time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from model_runtime.serve.engine.base import Message, Receive, Scope, Send, Started
from model_runtime.serve.front import Front
from model_runtime.serve.metrics import FrontMetrics
from model_runtime.serve.settings import ServeSettings

PATIENCE_S = 0.05
SCOPE: Scope = {"type": "http", "path": "/v1/completions", "method": "POST", "headers": []}
CHUNKS = 3
MOST_ADDED_TO_A_REQUEST_S = 0.001
MOST_ADDED_TO_A_TOKEN_S = 5e-6


class Played:
    """An engine that streams some chunks and remembers how its requests ended."""

    name = "played"
    generate_arguments: frozenset[str] = frozenset()

    def __init__(self, token_s: float = 0.0, chunks: int = CHUNKS) -> None:
        self.ended: list[str] = []
        self.ill: str | None = None
        self._token_s, self._chunks = token_s, chunks

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(self._chunks):
                if self._token_s:
                    await asyncio.sleep(self._token_s)
                await send({"type": "http.response.body", "body": b"x", "more_body": number < self._chunks - 1})
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("whole")

    async def start(self) -> Started:
        return Started(self.app, "played", 1)

    def trouble(self) -> str | None:
        return self.ill

    async def stop(self) -> None:
        """Nothing to free."""


async def got(front: Front, path: str) -> tuple[int, str]:
    """Status and body of a GET."""
    told: list[Message] = []

    async def receive() -> Message:
        return await asyncio.Future()

    async def send(message: Message) -> None:
        told.append(message)

    await front({**SCOPE, "path": path, "method": "GET"}, receive, send)
    return told[0]["status"], b"".join(message.get("body", b"") for message in told).decode()


def test_health_is_what_the_engine_says_of_itself() -> None:
    """S2: an engine that has died is 503 at the next probe, and well again when it is."""

    async def run() -> None:
        engine, front = Played(), Front(ServeSettings(), FrontMetrics())
        front.stage = "getting the weights from /w"
        for path in ("/health", "/healthz"):
            assert await got(front, path) == (503, '{"status": "Unhealthy", "detail": "getting the weights from /w"}')
        front.attach(engine, await engine.start())
        for ill, status, ready in ((None, 200, 1.0), ("it has died", 503, 0.0), (None, 200, 1.0)):
            engine.ill = ill
            for path in ("/health", "/healthz"):
                told = await got(front, path)
                assert (told[0], "it has died" in told[1]) == (status, bool(ill))
            assert f"model_runtime_ready {ready}" in (await got(front, "/metrics"))[1]

    asyncio.run(run())


async def asked(engine: Played, take: Callable[[Message], asyncio.Future[None]]) -> Front:
    """One request whose client takes each message as `take` says; returns when the server is done with it."""
    front = Front(ServeSettings(client_timeout_s=PATIENCE_S, max_waiting_requests=0), FrontMetrics())
    front.attach(engine, await engine.start())
    body: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> Message:
        return body.pop() if body else await asyncio.Future()

    async def send(message: Message) -> None:
        await take(message)

    async with asyncio.timeout(30):
        await front(dict(SCOPE), receive, send)
    return front


def test_a_client_that_takes_nothing_is_dropped_and_its_place_is_free() -> None:
    async def run() -> None:
        engine = Played()
        front = await asked(engine, lambda _message: asyncio.get_running_loop().create_future())
        assert engine.ended == ["cancelled"]
        assert front.in_flight == 0

    asyncio.run(run())


def test_an_engine_that_is_slower_than_the_clients_patience_is_not_the_clients_fault() -> None:
    async def run() -> None:
        engine = Played(token_s=PATIENCE_S)

        def at_once(_message: Message) -> asyncio.Future[None]:
            taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            taken.set_result(None)
            return taken

        front = await asked(engine, at_once)
        assert engine.ended == ["whole"]
        assert front.in_flight == 0

    asyncio.run(run())


async def cpu_s(chunks: int, requests: int) -> float:
    """CPU time that the front takes for one request, beyond what the application behind it takes without it."""
    engine = Played(chunks=chunks)
    front = Front(ServeSettings(), FrontMetrics())
    front.attach(engine, await engine.start())
    taken = []
    for app in (front, engine.app):
        begun = time.process_time()
        for _ in range(requests):
            body: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": False}]

            async def receive(body: list[Message] = body) -> Message:
                return body.pop() if body else await asyncio.Future()

            async def send(_message: Message) -> None:
                """Taken at once."""

            await app(dict(SCOPE), receive, send)
        taken.append((time.process_time() - begun) / requests)
    return taken[0] - taken[1]


def test_passing_on_costs_microseconds() -> None:
    """Measured: 60 to 90 us a request, 0.4 us a token. A task or a timer for each token would be felt in these bounds."""
    more = 2000
    request_s, long_s = asyncio.run(cpu_s(1, 200)), asyncio.run(cpu_s(1 + more, 10))
    assert request_s < MOST_ADDED_TO_A_REQUEST_S
    assert (long_s - request_s) / more < MOST_ADDED_TO_A_TOKEN_S
