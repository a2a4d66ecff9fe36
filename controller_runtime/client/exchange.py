"""One HTTP exchange as observers see it: who was asked, what came back, how much and how long.

Apart from `transport`, so that what counts exchanges (metrics) need not know how they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

NO_REPLY = "<error>"
"""In place of a status code when no reply arrived; client-go writes the same."""


@dataclass(slots=True)
class Exchange:
    """`code`: the HTTP status in digits, or `NO_REPLY`. `response_bytes` is None for a watch, which has no end to measure at, and for a
    reply that broke off. `duration_s` covers the body too; for a watch it ends when the stream opens. `retry_of` is the code of the refusal
    that this exchange repeats, "" for a first one.
    """

    method: str
    host: str
    request_bytes: int = 0
    response_bytes: int | None = None
    code: str = NO_REPLY
    duration_s: float = 0.0
    retry_of: str = ""


RequestObserver = Callable[[Exchange], None]
"""Told of every finished exchange; must return quickly and may not change it."""
