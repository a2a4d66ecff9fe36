"""No field of the OpenAI routes, or of vLLM's, is dropped without a word by the second engine: each is honoured, or refused by name."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from model_runtime.serve.engine.on_transformers.requests import (
    HARMLESS,
    NEUTRAL,
    ChatBody,
    CompletionBody,
    GenerationBody,
    Refused,
    plain,
)
from test.model.vllm.fields import CHAT, COMPLETION

BODIES: dict[type[GenerationBody], dict[str, Any]] = {
    ChatBody: {"messages": [{"role": "user", "content": "a"}]},
    CompletionBody: {"prompt": "a"},
}
ASKING: dict[str, Any] = {
    "logprobs": 0,
    "priority": -1,
    "tool_choice": "required",
    "response_format": {"type": "json_object"},
    "modalities": ["audio"],
    "spaces_between_special_tokens": False,
}
"""Values where a list with something in it would not be one that a client sends."""


@pytest.mark.parametrize(("body", "fields"), [(ChatBody, CHAT), (CompletionBody, COMPLETION)])
def test_every_field_of_vllms_routes_is_honoured_or_known(body: type[GenerationBody], fields: tuple[str, ...]) -> None:
    assert set(fields) - body.model_fields.keys() - NEUTRAL.keys() - HARMLESS == set()


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("body", BODIES)
def test_what_is_not_honoured_is_refused_with_name_value_and_cure(body: type[GenerationBody], name: str) -> None:
    if name in body.model_fields:
        return  # echo, of completions
    value = ASKING.get(name, ["x"])
    with pytest.raises(Refused) as refused:
        body(**BODIES[body], **{name: value}).refuse_unsupported()
    assert (refused.value.status, refused.value.param) == (400, name)
    assert str(refused.value).startswith(f"{name}={json.dumps(value)} is not supported by the Transformers engine; ")
    assert "leave it out, or serve with --engine=vllm" in str(refused.value)


@pytest.mark.parametrize("body", BODIES)
def test_values_that_ask_for_nothing_pass(body: type[GenerationBody]) -> None:
    for place in range(2):
        asked = {n: values[place % len(values)] for n, values in NEUTRAL.items() if n not in body.model_fields}
        body(**BODIES[body], **asked).refuse_unsupported()
    body(**BODIES[body], **dict.fromkeys(HARMLESS, "x")).refuse_unsupported()


def test_what_nobody_knows_is_named_in_the_log_and_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        CompletionBody(prompt="a", max_token=3, **{"x" * 5000: 1}).refuse_unsupported()  # type: ignore[call-arg]
    assert "does not know are ignored" in caplog.text
    assert '"max_token"' in caplog.text
    assert len(caplog.text) < 500


def test_an_option_of_streams_that_is_not_known_is_refused() -> None:
    asked = CompletionBody(prompt="a", stream_options={"include_usage": True, "continuous_usage_stats": True})  # type: ignore[arg-type]
    with pytest.raises(Refused, match=r"^stream_options\.continuous_usage_stats=true is not supported"):
        asked.refuse_unsupported()


def test_parts_of_text_are_one_text_and_other_parts_are_refused() -> None:
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]
    assert plain([{"role": "user", "content": parts}]) == [{"role": "user", "content": "What is\nthis?"}]
    called: dict[str, Any] = {"role": "assistant", "tool_calls": []}
    assert plain([called]) == [called]
    with pytest.raises(Refused, match=r'the part {"type": "image_url".* is not supported; send parts with a `text`'):
        plain([{"role": "user", "content": [*parts, {"type": "image_url", "image_url": {"url": "http://x"}}]}])


@pytest.mark.parametrize(
    ("asked", "ends"),
    [({}, (7,)), ({"ignore_eos": True}, ()), ({"ignore_eos": True, "stop_token_ids": [9]}, (9,))],
)
def test_what_ends_an_answer(asked: dict[str, Any], ends: tuple[int, ...]) -> None:
    assert CompletionBody(prompt="a", **asked).ends([7]) == ends


@pytest.mark.parametrize(("asked", "taken"), [(None, 1.0), (0, 0.0), (1e-300, 0.01), (0.5, 0.5)])
def test_a_temperature_of_nearly_nothing_is_a_low_one(asked: float | None, taken: float) -> None:
    assert CompletionBody(prompt="a", temperature=asked).sampling().temperature == taken


def test_a_template_is_told_words_and_not_how_to_work() -> None:
    with pytest.raises(ValueError, match="chat_template, tokenize cannot be set here; leave it out"):
        ChatBody(**BODIES[ChatBody], chat_template_kwargs={"tokenize": True, "chat_template": "x"})
