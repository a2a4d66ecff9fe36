"""The engine port: what the server needs of whatever generates the text.

An engine brings an ASGI application with the OpenAI routes. Everything else that a user sees (`/chat`, `/healthz`, refusals, limits,
shutdown) is put in front of it by `serve.front`, the same for every engine; so tests of one engine exercise all but the other's kernels.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Started:
    """A loaded engine."""

    app: ASGIApp
    """Answers /v1/models, /v1/chat/completions, /v1/completions, /tokenize and /metrics."""
    model_name: str
    """The name under which the base model (or the combined one) is served."""
    max_num_seqs: int
    """Requests that it generates at a time; more wait."""


class Engine(Protocol):
    """One way to generate text. All methods are called from the server's event loop."""

    name: str
    generate_arguments: frozenset[str]
    """Arguments of Transformers' `generate` that a request's field `generate_kwargs` may hold, beyond those that every engine has."""

    async def start(self) -> Started:
        """Loads the model and generates one token; raises UserError for what a user can put right."""
        ...

    def trouble(self) -> str | None:
        """Why it cannot generate now; None while it can."""
        ...

    async def stop(self) -> None:
        """Frees everything; running requests end with an error."""
        ...
