"""The engine of a process that has no requests to answer: the model's first process has its GPU, or its own node only computes."""

from __future__ import annotations

from model_runtime.serve.engine.base import Receive, Scope, Send, Started
from model_runtime.serve.exchange import openai_error, respond


class Elsewhere:
    """See `Engine`. Healthy from the start, since nothing is loaded here."""

    name = "none"
    generate_arguments: frozenset[str] = frozenset()

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    async def start(self) -> Started:
        """See `Engine`."""
        return Started(answered_elsewhere, self._model_name, 1)

    def trouble(self) -> str | None:
        """See `Engine`."""
        return None

    async def stop(self) -> None:
        """See `Engine`."""


async def answered_elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
    """The application of such a process."""
    if scope["path"] == "/metrics":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        return
    message = (
        "This process computes a part of the model and answers no requests; ask the first pod, through the Service."
    )
    await respond(send, openai_error(421, "MisdirectedRequest", message))
