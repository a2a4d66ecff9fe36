"""What stands in front of every engine: health, `/chat`, limits, refusals, and the end of a request whose client is gone.

It answers from the first second on: while weights are fetched and loaded `/metrics` works, `/health` says what is being waited for, and
inference is refused with 503. It never refuses health, metrics or the list of models for want of capacity.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any

from model_runtime.clock import now_s
from model_runtime.contract import CHAT_PATH, HEALTH_PATHS, METRICS_PATH
from model_runtime.serve import chat_v03
from model_runtime.serve.engine.base import Engine, Message, Receive, Scope, Send, Started
from model_runtime.serve.exchange import (
    BodyTooLarge,
    ClientGone,
    Replay,
    Reply,
    call,
    json_reply,
    openai_error,
    read_body,
    respond,
)
from model_runtime.serve.metrics import FrontMetrics
from model_runtime.serve.settings import ServeSettings

log = logging.getLogger(__name__)

LONGEST_RETRY_AFTER_S = 60
_SMOOTHING = 0.2
"""Weight of the newest request in the running mean of durations."""


class Front:
    """The ASGI application that the server runs."""

    def __init__(self, settings: ServeSettings, metrics: FrontMetrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._engine: Engine | None = None
        self._started: Started | None = None
        self._in_flight = 0
        self._mean_duration_s = 1.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._cut_off = asyncio.Event()
        self.stage = "starting"
        """What is being done before the model can generate, for /health."""
        self.draining = False

    def attach(self, engine: Engine, started: Started) -> None:
        """From now on requests reach the engine."""
        self._engine, self._started = engine, started

    @property
    def in_flight(self) -> int:
        """Inference requests accepted and not finished."""
        return self._in_flight

    async def drained(self) -> None:
        """Returns when no request runs any more."""
        await self._idle.wait()

    def cut_off(self) -> None:
        """Ends what still runs: 503 where no answer has begun, else the connection is closed. Never a 500: the engine does not see it."""
        self._cut_off.set()

    def trouble(self) -> str | None:
        """Why no text can be generated now; None while it can."""
        if self.draining:
            return "shutting down"
        if self._engine is None:
            return self.stage
        return self._engine.trouble()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if path in HEALTH_PATHS:
            await respond(send, self._health())
        elif path == METRICS_PATH:
            await respond(send, await self._all_metrics(scope))
        elif path == "/":
            await respond(send, json_reply(200, {"message": "Server is running"}))
        elif method == "POST":
            await self._inference(_taken_as_json(scope), receive, send)
        elif self._started is None:
            await respond(send, self._not_now())
        else:
            await self._started.app(scope, receive, send)

    def _health(self) -> Reply:
        trouble = self.trouble()
        self._metrics.ready.set(trouble is None)
        if trouble is None:
            return json_reply(200, {"status": "Healthy"})
        return json_reply(503, {"status": "Unhealthy", "detail": trouble})

    async def _all_metrics(self, scope: Scope) -> Reply:
        self._metrics.ready.set(self.trouble() is None)
        self._metrics.in_flight.set(self._in_flight)
        text = self._metrics.text()
        if self._started is not None:
            text += (await call(self._started.app, scope, METRICS_PATH, None, "GET")).body
        return Reply(200, text, (("content-type", "text/plain; version=0.0.4; charset=utf-8"),))

    # -- inference -----------------------------------------------------------------------------------------------------------------

    async def _inference(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal()
        if refusal is not None:
            await respond(send, refusal)
            return
        body = await self._body(scope, receive, send)
        if body is None:
            return
        # Looked at again: a slow body holds no place, and places may be gone when it has come.
        refusal = self._refusal()
        if refusal is not None:
            await respond(send, refusal)
            return
        self._enter()
        begun = now_s()
        try:
            await self._until_it_ends(scope, body, receive, send)
        finally:
            self._leave(now_s() - begun)

    def _refusal(self) -> Reply | None:
        if self._started is None or self.draining:
            return self._not_now()
        if self._in_flight < self._started.max_num_seqs + self._settings.max_waiting_requests:
            return None
        self._metrics.refused.labels("busy").inc()
        message = (
            f"{self._in_flight} requests are running or waiting, and --max-waiting-requests="
            f"{self._settings.max_waiting_requests} lets no more wait; retry later."
        )
        return openai_error(429, "TooManyRequests", message, {"retry-after": str(self._retry_after_s())})

    def _retry_after_s(self) -> int:
        """About when a place is free: the mean request, for as many rounds as are waiting."""
        width = self._started.max_num_seqs if self._started else 1
        return max(
            1,
            min(LONGEST_RETRY_AFTER_S, math.ceil(self._mean_duration_s * self._settings.max_waiting_requests / width)),
        )

    def _not_now(self) -> Reply:
        self._metrics.refused.labels("draining" if self.draining else "loading").inc()
        message = f"The model cannot answer yet: {self.stage}." if not self.draining else "The server is shutting down."
        headers = {"retry-after": "5", **({"connection": "close"} if self.draining else {})}
        return openai_error(503, "ServiceUnavailable", message, headers)

    def _enter(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _leave(self, duration_s: float) -> None:
        self._in_flight -= 1
        self._mean_duration_s += _SMOOTHING * (duration_s - self._mean_duration_s)
        if self._in_flight == 0:
            self._idle.set()

    async def _body(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        """The body; None when the request was answered with a refusal."""
        settings = self._settings
        try:
            return await read_body(scope, receive, settings.max_body_bytes, settings.client_timeout_s)
        except BodyTooLarge:
            reason, status, kind = "body", 413, "RequestEntityTooLarge"
            message = f"The body is larger than --max-body-bytes={settings.max_body_bytes}; send less."
        except ClientGone:
            reason, status, kind = "client", 408, "RequestTimeout"
            message = f"The body did not arrive within --client-timeout-s={settings.client_timeout_s:g}."
        self._metrics.refused.labels(reason).inc()
        await respond(send, openai_error(status, kind, message, {"connection": "close"}))
        return None

    async def _until_it_ends(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Runs the request; cancels it when its client has left or takes nothing any more, and when the time of a stop is over."""
        gone, answer = asyncio.Event(), _PassedOn(send)
        work = asyncio.create_task(self._answer(scope, body, Replay(body, gone), answer))
        watch, cut = asyncio.create_task(_disconnected(receive)), asyncio.create_task(self._cut_off.wait())
        try:
            await self._watched({work, watch, cut}, answer)
            if not work.done():
                gone.set()
                work.cancel()
            await work
        except asyncio.CancelledError:
            if not work.done():
                work.cancel()
                raise
            if cut.done() and not watch.done() and not answer.begun:
                await respond(send, self._not_now())
            log.debug("%s: the request was cancelled", scope["path"])
        finally:
            watch.cancel()
            cut.cancel()

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        assert self._started is not None and self._engine is not None  # noqa: PT018, S101 - _refusal has looked
        if scope["path"] == CHAT_PATH:
            reply = await chat_v03.chat(self._started.app, self._engine, scope, body, self._settings.pipeline)
            await respond(send, reply)
        else:
            await self._started.app(scope, receive, send)

    async def _watched(self, tasks: set[asyncio.Task[Any]], answer: _PassedOn) -> None:
        """Returns when one of the tasks has ended, or when the client has taken nothing for too long.

        One timer for the whole answer: one for each token would be felt in the throughput of a fast model.
        """
        patience = left = self._settings.client_timeout_s
        while left > 0:
            done, _ = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            left = 0.0 if done else patience - answer.untaken_s()


class _PassedOn:
    """Passes an answer on; knows whether it has begun, and for how long the client has not taken what was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sending_since: float | None = None
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun, self._sending_since = True, now_s()
        await self._send(message)
        self._sending_since = None

    def untaken_s(self) -> float:
        return 0.0 if self._sending_since is None else now_s() - self._sending_since


def _taken_as_json(scope: Scope) -> Scope:
    """A body without a type is JSON, as in KAITO 0.3: `kubectl create --raw` names none, and both engines' routes want one."""
    if any(name == b"content-type" for name, _ in scope["headers"]):
        return scope
    return {**scope, "headers": [*scope["headers"], (b"content-type", b"application/json")]}


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def stage_setter(front: Front) -> Callable[[str], None]:
    """Tells /health and the log."""

    def say(stage: str) -> None:
        front.stage = stage
        log.info("%s", stage)

    return say
