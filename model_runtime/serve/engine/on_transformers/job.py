"""One generation as the runners see it: tokens in, tokens out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `temperature=0` is greedy."""

    temperature: float = 1.0
    top_k: int = 0
    """0: no limit."""
    top_p: float = 1.0

    @property
    def greedy(self) -> bool:
        """Always the likeliest token."""
        return self.temperature == 0.0 or self.top_k == 1


@dataclass(frozen=True, slots=True)
class Job:
    """A request, tokenized."""

    prompt: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    ends: tuple[int, ...] = ()
    """Tokens that end the answer; none: it has `max_new_tokens`."""
    adapter: str | None = None
    """None: the model without adapters (or with all of them, when they were combined)."""
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `generate` that continuous batching does not have (beams, penalties)."""


class GenerationFailed(RuntimeError):
    """The engine could not finish a job; the message is for the log and the client."""


class Runner(Protocol):
    """Runs jobs; each yields its new tokens as they come."""

    def run(self, job: Job) -> AsyncGenerator[list[int], None]:
        """New tokens, piece by piece, the end token included; closing the iterator cancels the job."""
        ...

    def trouble(self) -> str | None:
        """Why it cannot run a job; None while it can."""
        ...

    def stop(self) -> None:
        """Frees what it holds."""
        ...
