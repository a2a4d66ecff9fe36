"""The OpenAI routes over the Transformers engine, under the paths and error forms that vLLM's own server has."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse

from model_runtime.clock import unix_time_s
from model_runtime.contract import METRICS_PATH
from model_runtime.errors import UserError
from model_runtime.serve.engine.on_transformers import answers
from model_runtime.serve.engine.on_transformers.answers import Answer, Choice
from model_runtime.serve.engine.on_transformers.job import Job
from model_runtime.serve.engine.on_transformers.requests import (
    AdapterBody,
    ChatBody,
    CompletionBody,
    GenerationBody,
    Refused,
    TokenizeBody,
    plain,
)
from model_runtime.serve.engine.on_transformers.text import TextStream
from model_runtime.serve.exchange import shown

if TYPE_CHECKING:
    from model_runtime.serve.engine.base import ASGIApp
    from model_runtime.serve.engine.on_transformers.engine import TransformersEngine

DEFAULT_COMPLETION_TOKENS = 16
"""What OpenAI's completions route, and vLLM's, generate when nothing is said."""


def build_app(engine: TransformersEngine) -> ASGIApp:
    """The application for one loaded engine."""
    routes = _Routes(engine)
    app = FastAPI(title="model runtime", docs_url=None, redoc_url=None)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(UserError, _user_error)
    app.add_api_route("/v1/models", routes.models, methods=["GET"])
    app.add_api_route("/v1/chat/completions", routes.chat, methods=["POST"], response_model=None)
    app.add_api_route("/v1/completions", routes.completions, methods=["POST"], response_model=None)
    app.add_api_route("/tokenize", routes.tokenize, methods=["POST"])
    app.add_api_route(METRICS_PATH, routes.metrics, methods=["GET"])
    if engine.settings.allow_runtime_adapters:
        app.add_api_route("/v1/load_lora_adapter", routes.load_adapter, methods=["POST"])
        app.add_api_route("/v1/unload_lora_adapter", routes.unload_adapter, methods=["POST"])
    return app  # type: ignore[no-any-return]


class _Routes:
    def __init__(self, engine: TransformersEngine) -> None:
        self._engine = engine
        self._created = unix_time_s()

    async def models(self) -> dict[str, Any]:
        engine = self._engine
        base = self._card(engine.model_name, engine.model_name, None)
        more = [self._card(name, str(folder), engine.model_name) for name, folder in engine.adapters.items()]
        return {"object": "list", "data": [base, *more]}

    def _card(self, name: str, root: str, parent: str | None) -> dict[str, Any]:
        limit = self._engine.max_model_len
        card = {"id": name, "object": "model", "created": self._created, "owned_by": "model-runtime"}
        return {**card, "root": root, "parent": parent, "max_model_len": limit}

    async def chat(self, body: ChatBody) -> Response:
        body.refuse_unsupported()
        how = {
            "add_generation_prompt": body.add_generation_prompt,
            "continue_final_message": body.continue_final_message,
        }
        prompt = self._render(body.messages, {**body.chat_template_kwargs, **how}, special=body.add_special_tokens)
        wanted = body.max_completion_tokens or body.max_tokens
        return await self._answer(answers.CHAT, body, [(prompt, "")], wanted)

    async def completions(self, body: CompletionBody) -> Response:
        body.refuse_unsupported()
        prompts: list[tuple[list[int], str]] = []
        for prompt in body.prompts():
            tokens = self._encode(prompt, special=body.add_special_tokens) if isinstance(prompt, str) else prompt
            self._check_vocabulary(tokens)
            text = prompt if isinstance(prompt, str) else self._engine.loaded.tokenizer.decode(prompt)
            prompts.append((tokens, text if body.echo else ""))
        if not prompts:
            raise Refused(400, "prompt: the list is empty; send at least one prompt.", param="prompt")
        return await self._answer(answers.TEXT, body, prompts, body.max_tokens or DEFAULT_COMPLETION_TOKENS)

    async def _answer(
        self, form: answers.Form, body: GenerationBody, prompts: list[tuple[list[int], str]], wanted: int | None
    ) -> Response:
        adapter = self._adapter(body.model)
        numbered = [entry for entry in prompts for _ in range(body.n)]
        choices = [self._choice(i, body, adapter, tokens, echo, wanted) for i, (tokens, echo) in enumerate(numbered)]
        total = sum(len(tokens) for tokens, _ in prompts)
        answer = Answer(
            form, body.model or self._engine.model_name, choices, self._engine.generate, total, body.request_id
        )
        if not body.stream:
            whole = await answer.whole()
            self._count(choices)
            return JSONResponse(whole)
        usage = body.stream_options is not None and body.stream_options.include_usage
        stream = _server_sent(answer.stream(include_usage=usage), lambda: self._count(choices))
        return StreamingResponse(stream, media_type="text/event-stream")

    def _choice(
        self, index: int, body: GenerationBody, adapter: str | None, tokens: list[int], echo: str, wanted: int | None
    ) -> Choice:
        room = self._engine.max_model_len - len(tokens)
        if not tokens:
            raise Refused(400, "The prompt is empty; send at least one character.", param="prompt")
        if room < 1 or (wanted is not None and wanted > room):
            message = (
                f"This model's maximum context length is {self._engine.max_model_len} tokens; the prompt has {len(tokens)}"
                + (f" and {wanted} were asked for" if wanted else "")
                + ". Shorten the prompt or lower max_tokens."
            )
            raise Refused(400, message, param="max_tokens", code="context_length_exceeded")
        loaded = self._engine.loaded
        ends = body.ends(loaded.end_tokens)
        job = Job(tuple(tokens), wanted or room, body.sampling(), ends, adapter, body.extra_arguments())
        shown = {"show_special": body.skip_special_tokens is False, "show_end": body.include_stop_str_in_output}
        return Choice(index, job, TextStream(loaded.tokenizer, body.stop_strings, ends, **shown), echo)

    def _check_vocabulary(self, tokens: list[int]) -> None:
        """A token that the model has not would end the loop that generates for everybody."""
        size = self._engine.vocabulary
        stranger = next((token for token in tokens if not 0 <= token < size), None)
        if stranger is not None:
            message = f"prompt: token {stranger} is out of vocabulary; send tokens from 0 to {size - 1}."
            raise Refused(400, message, param="prompt")

    def _adapter(self, model: str | None) -> str | None:
        if model in (None, "", self._engine.model_name):
            return None
        if model in self._engine.adapters:
            return model
        served = ", ".join([self._engine.model_name, *self._engine.adapters])
        raise Refused(404, f"The model `{model}` does not exist; this server has {served}.", param="model")

    def _encode(self, text: str, *, special: bool = True) -> list[int]:
        return list(self._engine.loaded.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _render(self, messages: list[dict[str, Any]], how: Mapping[str, Any], *, special: bool = False) -> list[int]:
        tokenizer = self._engine.loaded.tokenizer
        if tokenizer.chat_template is None:
            cure = "start the server with --chat-template=FILE, or use /v1/completions"
            raise Refused(
                400, f"The tokenizer of {self._engine.model_name} has no chat template; {cure}.", param="messages"
            )
        readable = plain(messages)
        try:
            text = tokenizer.apply_chat_template(readable, tokenize=False, **how)
        except Exception as error:
            # The template is a program of the model's authors; whatever it raises is about these messages.
            raise Refused(
                400, f"The model's chat template refuses these messages: {error}", param="messages"
            ) from error
        return self._encode(text, special=special)

    async def tokenize(self, body: TokenizeBody) -> dict[str, Any]:
        if body.messages is not None:
            tokens = self._render(body.messages, {"add_generation_prompt": body.add_generation_prompt})
        else:
            tokens = self._encode(body.prompt or "", special=body.add_special_tokens)
        return {"count": len(tokens), "max_model_len": self._engine.max_model_len, "tokens": tokens}

    async def metrics(self) -> Response:
        return Response(self._engine.metrics_text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def load_adapter(self, body: AdapterBody) -> Response:
        await self._engine.load_adapter(body.lora_name, Path(body.lora_path))
        return Response(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    async def unload_adapter(self, body: AdapterBody) -> Response:
        await self._engine.unload_adapter(body.lora_name)
        return Response(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")

    def _count(self, choices: list[Choice]) -> None:
        metrics = self._engine.metrics
        for choice in choices:
            metrics.finished.labels(metrics.model_name, choice.finish_reason or "abort").inc()


async def _server_sent(chunks: AsyncGenerator[dict[str, Any], None], done: Callable[[], None]) -> AsyncIterator[str]:
    """Server-sent events; what goes wrong after the first byte can only be told inside the stream."""
    try:
        async for chunk in chunks:
            yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
    except Refused as refused:
        yield f"data: {json.dumps(refused.body())}\n\n"
    finally:
        await chunks.aclose()
        done()
    yield "data: [DONE]\n\n"


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for this type alone
    return JSONResponse(error.body(), status_code=error.status)


async def _user_error(_request: Request, error: Exception) -> Response:
    return await _refused(_request, Refused(400, str(error)))


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type alone
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    sent = "" if first["type"] == "missing" else f" ({shown(first['input'])} was sent)"
    return await _refused(_request, Refused(400, f"{where or 'body'}: {first['msg']}{sent}", param=where or None))
