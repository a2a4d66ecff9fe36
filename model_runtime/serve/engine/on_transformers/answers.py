"""Runs the choices of one request and shapes what comes out: one JSON object, or a stream of them."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from model_runtime.clock import unix_time_s
from model_runtime.serve.engine.on_transformers.job import GenerationFailed, Job
from model_runtime.serve.engine.on_transformers.requests import Refused
from model_runtime.serve.engine.on_transformers.text import TextStream

Generate = Callable[[Job], AsyncGenerator[list[int], None]]


@dataclass(slots=True)
class Choice:
    """One answer as it grows."""

    index: int
    job: Job
    text: TextStream
    echo: str = ""
    tokens: int = 0
    finish_reason: str | None = None
    pieces: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Event:
    """New text of a choice; the last one has the reason why it ended."""

    choice: Choice
    text: str
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """How one of the two routes writes its answers."""

    prefix: str
    """Of the answer's id: `chatcmpl` or `cmpl`."""
    kind: str
    """`object` of a whole answer."""
    chunk_kind: str
    chat: bool

    def whole(self, choice: Choice) -> dict[str, Any]:
        """A finished choice."""
        text = choice.echo + "".join(choice.pieces)
        content = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return {"index": choice.index, **content, "logprobs": None, "finish_reason": choice.finish_reason}

    def chunk(self, event: Event, *, first: bool) -> dict[str, Any]:
        """A piece of a choice."""
        content: dict[str, Any] = {"text": event.text}
        if self.chat:
            role = {"role": "assistant"} if first else {}
            content = {"delta": {**role, "content": event.text}}
        return {"index": event.choice.index, **content, "logprobs": None, "finish_reason": event.finish_reason}


CHAT = Form("chatcmpl", "chat.completion", "chat.completion.chunk", chat=True)
TEXT = Form("cmpl", "text_completion", "text_completion", chat=False)


class Answer:
    """The choices of one request, generated side by side."""

    def __init__(
        self,
        form: Form,
        model: str,
        choices: list[Choice],
        generate: Generate,
        prompt_tokens: int,
        name: str | None = None,
    ) -> None:
        """`name`: what the client calls its request; else one is drawn."""
        self._form, self._model, self._choices, self._generate = form, model, choices, generate
        self._prompt_tokens = prompt_tokens
        self._head = {"id": f"{form.prefix}-{name or uuid.uuid4().hex}", "created": unix_time_s(), "model": model}

    async def whole(self) -> dict[str, Any]:
        """All choices, finished."""
        async with contextlib.aclosing(self._events()) as events:
            async for event in events:
                event.choice.pieces.append(event.text)
        body = {**self._head, "object": self._form.kind, "choices": [self._form.whole(c) for c in self._choices]}
        return {**body, "usage": self.usage()}

    async def stream(self, *, include_usage: bool) -> AsyncGenerator[dict[str, Any], None]:
        """Chunks as they come, and the usage last when it is asked for."""
        begun: set[int] = set()
        head = {**self._head, "object": self._form.chunk_kind}
        async with contextlib.aclosing(self._events()) as events:
            async for event in events:
                chunk = self._form.chunk(event, first=event.choice.index not in begun)
                begun.add(event.choice.index)
                yield {**head, "choices": [chunk]}
        if include_usage:
            yield {**head, "choices": [], "usage": self.usage()}

    def usage(self) -> dict[str, int]:
        """Tokens of prompt and answers."""
        generated = sum(choice.tokens for choice in self._choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": generated,
            "total_tokens": self._prompt_tokens + generated,
        }

    async def _events(self) -> AsyncGenerator[Event, None]:
        """Events of all choices; when the consumer leaves, all are cancelled."""
        events: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        tasks = [asyncio.create_task(self._run(choice, events)) for choice in self._choices]
        left = len(tasks)
        try:
            while left:
                event = await events.get()
                if isinstance(event, Exception):
                    raise event
                if event is None:
                    left -= 1
                else:
                    yield event
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, choice: Choice, events: asyncio.Queue[Event | Exception | None]) -> None:
        try:
            async with contextlib.aclosing(self._generate(choice.job)) as pieces:
                async for tokens in pieces:
                    choice.tokens += len(tokens)
                    text = choice.text.add(tokens)
                    if choice.text.stopped:
                        events.put_nowait(Event(choice, text))
                        break
                    if text:
                        events.put_nowait(Event(choice, text))
            self._end(choice, events)
        except GenerationFailed as error:
            status = 400 if choice.job.generate_kwargs else 500
            events.put_nowait(Refused(status, str(error)))
        except Exception as error:
            events.put_nowait(error)
        else:
            events.put_nowait(None)

    def _end(self, choice: Choice, events: asyncio.Queue[Event | Exception | None]) -> None:
        rest = choice.text.finish()
        full = choice.tokens >= choice.job.max_new_tokens and not choice.text.stopped and not choice.text.ended
        choice.finish_reason = "length" if full else "stop"
        events.put_nowait(Event(choice, rest, choice.finish_reason))
