"""S4: the OpenAI routes, asked by the official client and by curl."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import urllib.parse
from typing import Any

import openai
import pytest

from test.model.serve.running import Server
from test.support import tiny_models

pytestmark = pytest.mark.model

HELLO: Any = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def test_the_served_name_is_the_given_one(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]


def test_a_chat_answer_has_text_reason_and_usage(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=6, temperature=0)
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 6


def test_streamed_text_is_the_text_of_the_whole_answer(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 24, "temperature": 0}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == whole
    assert chunks[-1].usage.completion_tokens == 24
    assert len(chunks) > 3


def test_completions_take_several_prompts_and_several_choices(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="tiny", prompt=["The sky", "The fox"], n=2, max_tokens=4, echo=True)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert [choice.text[:7] for choice in reply.choices] == ["The sky", "The sky", "The fox", "The fox"]


def test_a_stop_string_ends_the_answer_before_itself(server: Server) -> None:
    whole = server.complete("The sky", max_tokens=24)
    stop = whole[4:6]
    reply = server.post("/v1/completions", {"prompt": "The sky", "temperature": 0, "max_tokens": 24, "stop": stop}).json
    assert reply["choices"][0]["text"] == whole[: whole.index(stop)]
    assert reply["choices"][0]["finish_reason"] == "stop"


def test_sampling_differs_and_greedy_does_not(server: Server) -> None:
    asked = {"prompt": "The sky", "max_tokens": 16, "temperature": 1.5}
    sampled = {server.post("/v1/completions", asked).json["choices"][0]["text"] for _ in range(4)}
    assert len(sampled) > 1
    assert len({server.complete("The sky", max_tokens=16) for _ in range(4)}) == 1


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="this server has tiny"):
        client.chat.completions.create(model="other", messages=HELLO)


def test_a_prompt_that_does_not_fit_is_refused_with_the_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="maximum context length is 512 tokens") as refused:
        client.completions.create(model="tiny", prompt="The sky", max_tokens=5000)
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize("field", [{"logprobs": 3}, {"seed": 1}, {"presence_penalty": 0.5}, {"suffix": "x"}])
def test_what_the_engine_has_not_is_refused_by_name(client: openai.OpenAI, field: dict[str, Any]) -> None:
    """The others in test/unit/model_runtime/test_request_fields.py."""
    ((name, value),) = field.items()
    said = re.escape(f"{name}={json.dumps(value)} is not supported by the Transformers engine; leave it out")
    with pytest.raises(openai.BadRequestError, match=said):
        client.completions.create(model="tiny", prompt="The sky", **field)


def test_tokens_of_ones_own_end_an_answer_and_are_shown_when_asked_for(server: Server) -> None:
    asked = {"prompt": "The sky", "temperature": 0, "max_tokens": 24, "request_id": "mine"}
    whole = server.post("/v1/completions", asked).json
    assert whole["id"] == "cmpl-mine"
    stop = whole["choices"][0]["text"][4:6]
    shown = server.post("/v1/completions", {**asked, "stop": stop, "include_stop_str_in_output": True}).json
    assert shown["choices"][0]["text"] == whole["choices"][0]["text"].partition(stop)[0] + stop
    every_token = list(range(tiny_models.VOCABULARY))
    first = server.post("/v1/completions", {**asked, "stop_token_ids": every_token}).json
    assert (first["usage"]["completion_tokens"], first["choices"][0]["text"]) == (1, "")
    assert first["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(("number", "alone"), [(8, {}), (2, {"repetition_penalty": 1.01})])
def test_the_models_own_end_is_passed_over_on_demand(server: Server, number: int, alone: dict[str, Any]) -> None:
    """Sampled hot, so that a vocabulary of 512 meets its end within 300 tokens in about half of the answers."""
    asked = {"prompt": "The sky", "temperature": 2.0, "max_tokens": 300, "n": number, "ignore_eos": True, **alone}
    passed = server.post("/v1/completions", asked).json
    assert {choice["finish_reason"] for choice in passed["choices"]} == {"length"}
    assert passed["usage"]["completion_tokens"] == 300 * number


def test_special_tokens_are_shown_when_asked_for(server: Server) -> None:
    asked = {"messages": HELLO, "max_tokens": 300, "temperature": 2.0, "n": 8, "ignore_eos": True}
    asked |= {"skip_special_tokens": False}
    told = server.post("/v1/chat/completions", asked).json["choices"]
    assert any("<|" in choice["message"]["content"] for choice in told)


def test_content_in_parts_and_words_for_the_template_reach_the_model(server: Server) -> None:
    asked = {"max_tokens": 4, "temperature": 0}
    parts = [{"type": "text", "text": part} for part in ("What is", "this?")]
    told = [
        server.post("/v1/chat/completions", {**asked, "messages": [{"role": "user", "content": content}]}).json["usage"]
        for content in ("What is\nthis?", parts)
    ]
    assert told[0] == told[1]
    begun: list[Any] = [*HELLO, {"role": "assistant", "content": "The capital"}]
    goes_on = {**asked, "messages": begun, "continue_final_message": True, "add_generation_prompt": False}
    longer = server.post("/v1/chat/completions", {**goes_on, "chat_template_kwargs": {"unused": 1}})
    assert longer.status == 200, longer.text


def test_a_wrong_type_is_told_with_its_place(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"temperature: .* greater than or equal to 0 \(-1 was sent\)"):
        client.completions.create(model="tiny", prompt="The sky", temperature=-1)


def test_what_curl_prints(server: Server) -> None:
    body = json.dumps({"messages": HELLO, "max_tokens": 4, "stream": True, "temperature": 0})
    command = ["curl", "--silent", "--show-error", "--no-buffer", "-H", "Content-Type: application/json", "-d", body]
    printed = subprocess.run(
        [*command, f"{server.url}/v1/chat/completions"], capture_output=True, text=True, check=True
    ).stdout
    events = [line.removeprefix("data: ") for line in printed.splitlines() if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[0])["object"] == "chat.completion.chunk"
    assert json.loads(events[-2])["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat"])
def test_a_body_without_a_type_is_json_as_kubectl_sends_it(server: Server, path: str) -> None:
    address = urllib.parse.urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 0, timeout=60)
    connection.request("POST", path, json.dumps({"messages": HELLO, "max_tokens": 4}))
    assert connection.getresponse().status == 200
    connection.close()


def test_tokens_are_counted_as_they_are_used(server: Server) -> None:
    counted = server.post("/tokenize", {"prompt": "The sky is blue"}).json["count"]
    used = server.post("/v1/completions", {"prompt": "The sky is blue", "max_tokens": 1}).json["usage"]
    assert used["prompt_tokens"] == counted
