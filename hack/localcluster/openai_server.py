"""What a stand-in says for a pod whose server speaks OpenAI's API: it echoes, as a stream where that is asked, and counts what it said.

The counts are served under the names that vLLM and the project's own engine have at `/metrics`; `test/unit/localcluster` holds them against
a recorded answer of the latter. A token is a word.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from controller_runtime.resources import Object

_PROGRAMS = ("model_runtime.serve", "vllm")


def speaks_openai(pod: Object) -> bool:
    """Whether a container runs the project's runtime image, or vLLM itself."""
    containers = (pod.get("spec") or {}).get("containers") or []
    said = [
        str(word) for c in containers for word in (c.get("image"), *(c.get("command") or ()), *(c.get("args") or ()))
    ]
    return any(program in word for word in said for program in _PROGRAMS)


@dataclass(slots=True)
class Spoken:
    """What one pod has said so far. Thread-safe."""

    model: str
    prompted: int = 0
    generated: int = 0
    running: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pieces(self, messages: list[dict[str, Any]]) -> Iterator[str]:
        """The words of the answer, each counted as it goes."""
        asked = str(messages[-1].get("content", "")) if messages else ""
        said = f"{asked} [{self.model}: this is the stand-in model server of localcluster; it echoes the prompt]"
        self._count(prompted=sum(len(str(m.get("content", "")).split()) for m in messages), running=1)
        try:
            for number, word in enumerate(said.split()):
                self._count(generated=1)
                yield f" {word}" if number else word
        finally:
            self._count(running=-1)

    def _count(self, *, prompted: int = 0, generated: int = 0, running: int = 0) -> None:
        with self._lock:
            self.prompted += prompted
            self.generated += generated
            self.running += running

    def metrics(self) -> str:
        """In Prometheus' text format."""
        shown = (
            ("gauge", "vllm:num_requests_running", self.running),
            ("gauge", "vllm:num_requests_waiting", 0),
            ("gauge", "vllm:kv_cache_usage_perc", 0),
            ("counter", "vllm:prompt_tokens_total", self.prompted),
            ("counter", "vllm:generation_tokens_total", self.generated),
        )
        label = f'{{model_name="{self.model}"}}'
        return "".join(
            f"# TYPE {name.removesuffix('_total')} {kind}\n{name}{label} {float(value)}\n"
            for kind, name, value in shown
        )


def messages_of(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The conversation, and whether the answer is to be streamed. ValueError for anything else."""
    asked = json.loads(body)
    messages = asked.get("messages") if isinstance(asked, dict) else None
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise ValueError("messages: give a list of objects")
    return messages, asked.get("stream") is True


def events(spoken: Spoken, messages: list[dict[str, Any]]) -> Iterator[bytes]:
    """Server-sent events, one for each word."""
    for piece in spoken.pieces(messages):
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
        yield (
            b"data: "
            + json.dumps({"object": "chat.completion.chunk", "model": spoken.model, "choices": [choice]}).encode()
            + b"\n\n"
        )
    yield b"data: [DONE]\n\n"


def completion(spoken: Spoken, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The whole answer."""
    message = {"role": "assistant", "content": "".join(spoken.pieces(messages))}
    return {
        "object": "chat.completion",
        "model": spoken.model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def listing(spoken: Spoken) -> dict[str, Any]:
    """`/v1/models`."""
    return {"object": "list", "data": [{"id": spoken.model, "object": "model"}]}
