"""`POST /chat` as KAITO 0.3 has it, told in the engine's own OpenAI routes.

Defaults are those that the old server always sent: 200 tokens of prompt and answer together, sampling with top-k 10, the prompt repeated
in front of the answer. What becomes of each argument of `generate` is in `serve.generate_kwargs`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from model_runtime.serve.engine.base import ASGIApp, Engine, Scope
from model_runtime.serve.exchange import Reply, call, json_reply, shown
from model_runtime.serve.generate_kwargs import Arguments

MISSING = {
    "text-generation": "Text generation parameter prompt required",
    "conversational": "Conversational parameter messages required",
}
_SPACES = {
    **{f" {mark}": mark for mark in (".", "?", "!", ",")},
    " ' ": "'",
    **{f" {end}": end for end in ("n't", "'m", "'s", "'ve", "'re")},
}
"""What Transformers' tokenizers take away when they clean up, in their order."""


class ChatRequest(BaseModel):
    """The body. Where both are given, `prompt` counts; `model` is ours: an adapter's name."""

    model_config = ConfigDict(extra="ignore")

    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    model: str | None = None
    return_full_text: bool | None = True
    clean_up_tokenization_spaces: bool | None = False
    prefix: str | None = None
    """What the model reads before the prompt; it is not repeated."""
    handle_long_generation: str | None = None
    generate_kwargs: Arguments = Field(default_factory=Arguments)

    @field_validator("generate_kwargs", mode="before")
    @classmethod
    def _null_is_the_defaults(cls, given: Any) -> Any:
        return {} if given is None else given

    @field_validator("handle_long_generation")
    @classmethod
    def _nothing_is_cut(cls, given: str | None) -> str | None:
        if given is not None:
            raise ValueError("a prompt is not cut here; leave it out and send a shorter prompt")
        return given

    def source(self) -> dict[str, Any]:
        """What is to be continued, as the OpenAI routes have it."""
        return {"prompt": f"{self.prefix or ''}{self.prompt}"} if self.prompt else {"messages": self.messages}

    def result(self, answer: dict[str, Any]) -> str:
        """All choices of an answer, one after the other, as the old server gave them."""
        return "".join(self._told(choice) for choice in answer["choices"])

    def _told(self, choice: dict[str, Any]) -> str:
        message = choice.get("message")
        text = str(choice["text"] if message is None else message["content"] or "")
        if self.clean_up_tokenization_spaces:
            for untidy, tidy in _SPACES.items():
                text = text.replace(untidy, tidy)
        return f"{self.prompt}{text}" if message is None and self.return_full_text else text


async def chat(app: ASGIApp, engine: Engine, scope: Scope, body: bytes, pipeline: str) -> Reply:
    """The answer to one `/chat` request: 200 with `Result`, or the status of what is wrong with `detail`."""
    try:
        request = ChatRequest.model_validate_json(body)
    except ValidationError as error:
        return json_reply(422, {"detail": _told(error)})
    if not request.prompt and not request.messages:
        return json_reply(400, {"detail": MISSING[pipeline]})
    arguments, source = request.generate_kwargs, request.source()
    refusal = arguments.refusal(engine.name, engine.generate_arguments)
    if refusal is not None:
        return json_reply(400, {"detail": refusal})
    counted = await call(app, scope, "/tokenize", source)
    if counted.status != 200:
        return _failed(counted)
    length = int(counted.json["count"])
    fields = arguments.fields(length, int(counted.json["max_model_len"]))
    if fields["max_tokens"] < 1:
        detail = f"the prompt has {length} tokens and max_length is {arguments.max_length}; raise max_length or set max_new_tokens"
        return json_reply(400, {"detail": detail})
    path = "/v1/completions" if "prompt" in source else "/v1/chat/completions"
    more = {"model": request.model, "generate_kwargs": arguments.more()}
    answered = await call(app, scope, path, {**source, **fields, **{k: v for k, v in more.items() if v}})
    return json_reply(200, {"Result": request.result(answered.json)}) if answered.status == 200 else _failed(answered)


def _told(error: ValidationError) -> list[dict[str, Any]]:
    """As FastAPI tells it, where a client of KAITO 0.3 looks; no more of a value than a line holds."""
    found = error.errors(include_url=False, include_context=False)
    told = [{"type": one["type"], "loc": ["body", *one["loc"]], "msg": one["msg"]} for one in found]
    if told[0]["type"] == "json_invalid":
        return told
    return [{**one, "input": shown(whole["input"])} for one, whole in zip(told, found, strict=True)]


def _failed(reply: Reply) -> Reply:
    """OpenAI's error as `detail`, where a client of KAITO 0.3 looks for it."""
    try:
        message = reply.json["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = reply.body.decode(errors="replace")[:500]
    return json_reply(reply.status, {"detail": message})
