"""`POST /chat` as KAITO 0.3 has it, told in the engine's own OpenAI routes.

Defaults are those that the old server always sent: 200 tokens of prompt and answer together, sampling with top-k 10, the prompt repeated
in front of the answer. What it forwarded to Transformers' `generate` beyond that, an engine that is Transformers still forwards.
"""

from __future__ import annotations

import json
from typing import Any

from model_runtime.serve.engine.base import ASGIApp, Scope
from model_runtime.serve.exchange import Reply, call, json_reply

DEFAULTS: dict[str, Any] = {
    "max_length": 200,
    "min_length": 0,
    "do_sample": True,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 10,
    "top_p": 1,
    "typical_p": 1,
    "repetition_penalty": 1,
}
_EVERY_ENGINE = {
    "max_length",
    "max_new_tokens",
    "min_length",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
}
_TOKENIZER_KNOWS = {"pad_token_id", "eos_token_id"}
MISSING = {
    "text-generation": "Text generation parameter prompt required",
    "conversational": "Conversational parameter messages required",
}


async def chat(app: ASGIApp, scope: Scope, body: bytes, pipeline: str, *, any_argument: bool) -> Reply:
    """The answer to one `/chat` request; `any_argument`: the engine takes arguments of `generate`."""
    try:
        request = json.loads(body)
    except ValueError:
        return json_reply(422, {"detail": [{"type": "json_invalid", "loc": ["body"], "msg": "JSON decode error"}]})
    if not isinstance(request, dict):
        return json_reply(
            422, {"detail": [{"type": "model_attributes_type", "loc": ["body"], "msg": "send a JSON object"}]}
        )
    prompt, messages = request.get("prompt"), request.get("messages")
    if not prompt and not messages:
        return json_reply(400, {"detail": MISSING[pipeline]})
    arguments = request.get("generate_kwargs") or {}
    if not isinstance(arguments, dict):
        return json_reply(
            422, {"detail": [{"type": "dict_type", "loc": ["body", "generate_kwargs"], "msg": "send a JSON object"}]}
        )
    source = {"prompt": str(prompt)} if prompt else {"messages": messages}
    return await _generate(app, scope, source, {**DEFAULTS, **arguments}, request, any_argument=any_argument)


async def _generate(
    app: ASGIApp,
    scope: Scope,
    source: dict[str, Any],
    arguments: dict[str, Any],
    request: dict[str, Any],
    *,
    any_argument: bool,
) -> Reply:
    extra = {k: v for k, v in arguments.items() if k not in _EVERY_ENGINE | _TOKENIZER_KNOWS and v != DEFAULTS.get(k)}
    if extra and not any_argument:
        detail = (
            f"generate_kwargs {', '.join(sorted(extra))} cannot be used with this server's engine, vLLM; leave them out"
        )
        return json_reply(400, {"detail": detail})
    counted = await call(app, scope, "/tokenize", source)
    if counted.status != 200:
        return _failed(counted)
    length = int(counted.json["count"])
    wanted = arguments.get("max_new_tokens") or int(arguments["max_length"]) - length
    if wanted < 1:
        detail = f"the prompt has {length} tokens and max_length is {arguments['max_length']}; raise max_length or set max_new_tokens"
        return json_reply(400, {"detail": detail})
    path = "/v1/completions" if "prompt" in source else "/v1/chat/completions"
    model = {"model": request["model"]} if request.get("model") else {}
    body = {**source, **model, "max_tokens": wanted, **_sampling(arguments, length)}
    if extra:
        body["generate_kwargs"] = extra
    answered = await call(app, scope, path, body)
    return (
        _failed(answered)
        if answered.status != 200
        else json_reply(200, {"Result": _result(answered.json, source, request)})
    )


def _sampling(arguments: dict[str, Any], prompt_length: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {"repetition_penalty": arguments["repetition_penalty"]}
    if int(arguments["min_length"]) > prompt_length:
        chosen["min_tokens"] = int(arguments["min_length"]) - prompt_length
    if not arguments["do_sample"]:
        return {**chosen, "temperature": 0}
    return {**chosen, "temperature": arguments["temperature"], "top_k": arguments["top_k"], "top_p": arguments["top_p"]}


def _result(answer: dict[str, Any], source: dict[str, Any], request: dict[str, Any]) -> str:
    choice = answer["choices"][0]
    if "message" in choice:
        return str(choice["message"]["content"])
    repeated = source["prompt"] if request.get("return_full_text", True) else ""
    return f"{repeated}{choice['text']}"


def _failed(reply: Reply) -> Reply:
    """OpenAI's error as `detail`, where a client of KAITO 0.3 looks for it."""
    try:
        message = reply.json["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = reply.body.decode(errors="replace")[:500]
    return json_reply(reply.status, {"detail": message})
