"""A load of clients that stream completions of a fixed length, and what they measured: tokens a second, and the time to the first one.

The same clients ask both servers of a comparison, so their own cost is in both figures. Prompts differ, so that no cache of prefixes
answers for the model.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PROMPT_WORDS = 128
TIMEOUT_S = 600


@dataclass(frozen=True)
class Load:
    """What is asked: `requests` completions of `tokens` tokens each, `clients` at a time."""

    clients: int = 16
    requests: int = 64
    tokens: int = 128


@dataclass(frozen=True)
class Measured:
    """What came of a load."""

    tokens: int
    """Generated, by the servers' own count in each answer."""
    tokens_per_s: float
    """Of all clients together."""
    first_token_s: float
    """Median over the requests."""
    cpu_s: float = 0.0
    """CPU time of the process that answers, where it was measured; it tells of a busy machine too."""


def measure(url: str, model: str, load: Load) -> Measured:
    """Runs the load once; an answer other than 200 is an error."""
    with ThreadPoolExecutor(load.clients) as clients:
        begun = time.monotonic()
        answers = list(clients.map(lambda number: _ask(url, model, load.tokens, number), range(load.requests)))
        seconds = time.monotonic() - begun
    tokens = sum(count for count, _ in answers)
    return Measured(tokens, tokens / seconds, statistics.median(first for _, first in answers))


def _ask(url: str, model: str, tokens: int, number: int) -> tuple[int, float]:
    """(tokens generated, seconds to the first of them)"""
    prompt = " ".join(f"{number * PROMPT_WORDS + word}" for word in range(PROMPT_WORDS))
    body = {
        "model": model,
        "prompt": prompt[:PROMPT_WORDS],
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=TIMEOUT_S)
    try:
        begun = time.monotonic()
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        reply = connection.getresponse()
        if reply.status != 200:
            raise RuntimeError(f"{url} answered {reply.status}: {reply.read().decode(errors='replace')[:300]}")
        return _read(reply, begun)
    finally:
        connection.close()


def _read(reply: http.client.HTTPResponse, begun: float) -> tuple[int, float]:
    first, usage = 0.0, 0
    while line := reply.readline():
        if not line.startswith(b"data: {"):
            continue
        first = first or time.monotonic() - begun
        counted = json.loads(line[len(b"data: ") :]).get("usage")
        usage = counted["completion_tokens"] if counted else usage
    return usage, first
