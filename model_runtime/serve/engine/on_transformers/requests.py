"""The bodies of the OpenAI routes, as far as this engine can honour them; what it cannot is refused by name, never dropped."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from model_runtime.serve.engine.on_transformers.job import Sampling
from model_runtime.serve.exchange import shown
from model_runtime.serve.generate_kwargs import MOST, Count, TokenId

log = logging.getLogger(__name__)

MAX_CHOICES = MAX_BEAMS = 16
COLDEST = 0.01
"""The lowest temperature at which is sampled; 0 is greedy."""
_CURE = "leave it out, or serve with --engine=vllm on a GPU of compute capability 8.0 or newer"
_OFF: tuple[Any, ...] = (None, False)
_EMPTY: tuple[Any, ...] = (None, [], {})
_NONE: tuple[Any, ...] = (None,)
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(("logprobs", "return_token_ids", "return_tokens_as_token_ids", "return_weight_versions"), _OFF),
    **dict.fromkeys(("echo", "return_prompt_text", "store", "use_beam_search", "watermarking"), _OFF),
    **dict.fromkeys(("tools", "functions", "logit_bias", "allowed_token_ids", "bad_words", "documents"), _EMPTY),
    **dict.fromkeys(("media_io_kwargs", "mm_processor_kwargs", "vllm_xargs"), _EMPTY),
    **dict.fromkeys(("seed", "structured_outputs", "prompt_embeds", "prompt_logprobs", "logprob_token_ids"), _NONE),
    **dict.fromkeys(("guided_json", "guided_regex", "guided_choice", "guided_grammar", "chat_template"), _NONE),
    **dict.fromkeys(("reasoning_effort", "cache_salt", "kv_transfer_params", "ec_transfer_params"), _NONE),
    **dict.fromkeys(("repetition_detection", "truncate_prompt_tokens", "truncation_side"), _NONE),
    **dict.fromkeys(("audio", "prediction", "verbosity", "web_search_options"), _NONE),
    **dict.fromkeys(("top_logprobs", "presence_penalty", "frequency_penalty", "priority"), (None, 0)),
    **dict.fromkeys(("best_of", "length_penalty", "stream_interval"), (None, 1)),
    **dict.fromkeys(("tool_choice", "function_call"), (None, "none", "auto")),
    "response_format": (None, {"type": "text"}),
    "routed_experts_prompt_start": (None, 0),
    "spaces_between_special_tokens": (None, True),
    "thinking_token_budget": (None, -1),
    "modalities": (None, ["text"]),
    "suffix": (None, ""),
}
"""Fields of the OpenAI routes and of vLLM that this engine has not, with the values that ask for nothing."""
HARMLESS = {
    *(
        "include_reasoning",
        "metadata",
        "mm_payload",
        "parallel_tool_calls",
        "prompt_cache_key",
        "prompt_cache_retention",
    ),
    *("return_mm_kwargs", "return_token_offsets", "safety_identifier", "service_tier", "session_id", "user"),
}
"""Fields that change no answer of a server without what they are about: bookkeeping, other routes, tools, reasoning parsers."""


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


class GenerateArguments(BaseModel):
    """What a request may hand to Transformers' `generate`. Nothing else: `generate` also takes names of code that it loads and runs."""

    model_config = ConfigDict(extra="forbid")

    num_beams: int | None = Field(None, ge=1, le=MAX_BEAMS)
    early_stopping: bool | Literal["never"] | None = None
    length_penalty: float | None = None
    typical_p: float | None = None
    epsilon_cutoff: float | None = None
    eta_cutoff: float | None = None
    no_repeat_ngram_size: Count | None = None
    encoder_no_repeat_ngram_size: Count | None = None
    encoder_repetition_penalty: float | None = Field(None, gt=0)
    exponential_decay_length_penalty: tuple[Count, float] | None = None
    bad_words_ids: list[list[TokenId]] | None = None
    sequence_bias: list[tuple[list[TokenId], float]] | None = None
    suppress_tokens: list[TokenId] | None = None
    begin_suppress_tokens: list[TokenId] | None = None
    forced_eos_token_id: TokenId | list[TokenId] | None = None
    guidance_scale: float | None = None
    renormalize_logits: bool | None = None
    max_time: float | None = Field(None, gt=0)
    """Seconds."""


class StreamOptions(BaseModel):
    """`stream_options`."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool = False


class GenerationBody(BaseModel):
    """What both routes have in common."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    max_tokens: Count | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=100)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=MOST)
    repetition_penalty: float | None = Field(None, gt=0)
    min_p: float | None = Field(None, ge=0, le=1)
    min_tokens: Count | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[TokenId] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    skip_special_tokens: bool | None = None
    request_id: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    generate_kwargs: GenerateArguments = Field(default_factory=GenerateArguments)
    """Such a request runs alone."""

    @property
    def stop_strings(self) -> list[str]:
        """`stop` as a list."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or [])

    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return Sampling(
            temperature=_not_too_cold(1.0 if self.temperature is None else self.temperature),
            top_k=max(0, self.top_k or 0),
            top_p=1.0 if self.top_p is None else self.top_p,
        )

    def extra_arguments(self) -> dict[str, Any]:
        """What only plain `generate` can do; empty for nearly all requests."""
        extra = self.generate_kwargs.model_dump(exclude_none=True)
        if self.repetition_penalty not in (None, 1.0):
            extra["repetition_penalty"] = self.repetition_penalty
        if self.min_p:
            extra["min_p"] = self.min_p
        if self.min_tokens and self.ends([0]):
            extra["min_new_tokens"] = self.min_tokens
        return extra

    def ends(self, models_own: Sequence[int]) -> tuple[int, ...]:
        """The tokens that end an answer."""
        return (*(() if self.ignore_eos else models_own), *(self.stop_token_ids or ()))

    def refuse_unsupported(self) -> None:
        """Raises Refused for a field that asks for something this engine has not; names unknown fields in the log, as vLLM does."""
        more = dict(self.model_extra or {})
        more |= {f"stream_options.{name}": value for name, value in self._stream_extra().items()}
        for name, value in more.items():
            if _asks(value, NEUTRAL.get(name) or (_OFF if name.startswith("stream_options.") else ())):
                message = f"{name}={shown(value)} is not supported by the Transformers engine; {_CURE}."
                raise Refused(400, message, param=name)
        unknown = sorted(more.keys() - NEUTRAL.keys() - HARMLESS)
        if unknown:
            log.warning("fields of a request that this server does not know are ignored: %s", shown(unknown))

    def _stream_extra(self) -> Mapping[str, Any]:
        return (self.stream_options and self.stream_options.model_extra) or {}


def _not_too_cold(temperature: float) -> float:
    """As vLLM does: what is nearly 0 would make scores that are no numbers."""
    return max(temperature, COLDEST) if temperature else 0.0


def _asks(value: Any, neutral: tuple[Any, ...]) -> bool:
    """Whether a value asks for something; 0 is not false: `logprobs: 0` asks for those of the chosen tokens."""
    return bool(neutral) and not any(value == n and isinstance(value, bool) == isinstance(n, bool) for n in neutral)


def plain(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages, with content in parts as one text, as templates of text models want it; Refused for other parts."""
    return [{**m, "content": _text(m["content"])} if "content" in m else dict(m) for m in messages]


def _text(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    other = next((part for part in content if not (isinstance(part, dict) and isinstance(part.get("text"), str))), None)
    if other is not None:
        message = f"messages: the part {shown(other)} is not supported; send parts with a `text`."
        raise Refused(400, message, param="messages")
    return "\n".join(part["text"] for part in content)


class ChatBody(GenerationBody):
    """POST /v1/chat/completions."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: Count | None = Field(None, ge=1)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_the_templates(cls, value: dict[str, Any]) -> dict[str, Any]:
        taken = sorted(
            value.keys() & {"chat_template", "tokenize", "tools", "documents", "return_dict", "return_tensors"}
        )
        if taken:
            raise ValueError(f"{', '.join(taken)} cannot be set here; leave it out")
        return value


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: bool = False
    add_special_tokens: bool = True

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
