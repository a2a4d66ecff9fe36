"""The bodies of the OpenAI routes, as far as this engine can honour them; what it cannot is refused by name, never dropped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from model_runtime.serve.engine.on_transformers.job import Sampling

MAX_CHOICES = 16
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "suffix": (None, ""),
    "best_of": (None, 1),
    "use_beam_search": (None, False),
    "structured_outputs": (None,),
    "seed": (None,),
}
"""Fields of the OpenAI routes and of vLLM that this engine has not, with the values that ask for nothing."""


class Refused(Exception):
    """An answer other than 200, in OpenAI's form."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code

    def body(self) -> dict[str, Any]:
        """As OpenAI's clients read it."""
        kind = (
            "NotFoundError" if self.status == 404 else "BadRequestError" if self.status < 500 else "InternalServerError"
        )
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code or self.status}}


class StreamOptions(BaseModel):
    """`stream_options`."""

    include_usage: bool = False


class GenerationBody(BaseModel):
    """What both routes have in common."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    repetition_penalty: float | None = Field(None, gt=0)
    min_tokens: int | None = Field(None, ge=0)
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    generate_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of Transformers' `generate`; such a request runs alone."""

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=max(0, self.top_k or 0),
            top_p=1.0 if self.top_p is None else self.top_p,
        )

    def extra_arguments(self) -> dict[str, Any]:
        """What only plain `generate` can do; empty for nearly all requests."""
        extra = dict(self.generate_kwargs)
        if self.repetition_penalty not in (None, 1.0):
            extra["repetition_penalty"] = self.repetition_penalty
        if self.min_tokens:
            extra["min_new_tokens"] = self.min_tokens
        return extra

    def refuse_unsupported(self) -> None:
        """Raises Refused for a field that asks for something this engine has not."""
        for name, value in (self.model_extra or {}).items():
            if name in _NEUTRAL and value not in _NEUTRAL[name]:
                cure = "leave it out, or serve with --engine=vllm on a GPU of compute capability 8.0 or newer"
                raise Refused(400, f"{name} is not supported by the Transformers engine; {cure}.", param=name)


class ChatBody(GenerationBody):
    """POST /v1/chat/completions."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    add_generation_prompt: bool = True


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: bool = False

    def prompts(self) -> list[str | list[int]]:
        """One entry for each prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if self.prompt and isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)  # type: ignore[arg-type]


class TokenizeBody(BaseModel):
    """POST /tokenize, as vLLM has it."""

    model_config = ConfigDict(extra="allow")

    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    add_special_tokens: bool = True
    add_generation_prompt: bool = True


class AdapterBody(BaseModel):
    """POST /v1/load_lora_adapter and /v1/unload_lora_adapter, as vLLM has them."""

    model_config = ConfigDict(extra="allow")

    lora_name: str = Field(min_length=1)
    lora_path: str = ""
