"""S4: the OpenAI routes, asked by the official client and by curl."""

from __future__ import annotations

import http.client
import json
import subprocess
import urllib.parse
from typing import Any

import openai
import pytest

from test.model.serve.running import Server

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
    with pytest.raises(
        openai.BadRequestError, match=f"{next(iter(field))} is not supported by the Transformers engine"
    ):
        client.completions.create(model="tiny", prompt="The sky", **field)


def test_a_wrong_type_is_told_with_its_place(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
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
