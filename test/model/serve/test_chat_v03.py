"""S3: `POST /chat` as KAITO 0.3 answers it."""

from __future__ import annotations

from typing import Any

import pytest

from test.model.serve.running import Server

pytestmark = pytest.mark.model

GREEDY = {"do_sample": False, "max_length": 30}


def chat(server: Server, **body: Any) -> str:
    reply = server.post("/chat", body)
    assert reply.status == 200, reply.text
    return str(reply.json["Result"])


def test_the_prompt_is_repeated_unless_it_is_not_wanted(server: Server) -> None:
    full = chat(server, prompt="The sky", generate_kwargs=GREEDY)
    alone = chat(server, prompt="The sky", generate_kwargs=GREEDY, return_full_text=False)
    assert full == "The sky" + alone
    assert alone


def test_prompt_and_answer_have_200_tokens_together_by_default(server: Server) -> None:
    before = server.metric("vllm:generation_tokens_total")
    prompt = server.post("/tokenize", {"prompt": "The sky"}).json["count"]
    chat(server, prompt="The sky", generate_kwargs={"temperature": 5.0, "top_k": 400})
    assert 0 < server.metric("vllm:generation_tokens_total") - before <= 200 - prompt


def test_max_new_tokens_beats_max_length(server: Server) -> None:
    short = chat(server, prompt="The sky", generate_kwargs={**GREEDY, "max_new_tokens": 3}, return_full_text=False)
    assert short == server.complete("The sky", max_tokens=3)


def test_messages_go_through_the_chat_template(server: Server) -> None:
    messages = [{"role": "user", "content": "Which colour is the sky?"}]
    through_openai = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 8, "temperature": 0}).json
    told = chat(server, messages=messages, generate_kwargs={"do_sample": False, "max_new_tokens": 8})
    assert told == through_openai["choices"][0]["message"]["content"]


def test_arguments_of_generate_that_batching_lacks_are_honoured(server: Server) -> None:
    plain = chat(server, prompt="The sky", generate_kwargs={"do_sample": False, "max_new_tokens": 30})
    penalised = chat(
        server, prompt="The sky", generate_kwargs={"do_sample": False, "max_new_tokens": 30, "repetition_penalty": 9.0}
    )
    beams = chat(server, prompt="The sky", generate_kwargs={"do_sample": False, "max_new_tokens": 30, "num_beams": 3})
    assert penalised != plain
    assert beams.startswith("The sky")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 400, "Text generation parameter prompt required"),
        ({"prompt": ""}, 400, "Text generation parameter prompt required"),
        ({"prompt": "The sky", "generate_kwargs": {"max_length": 1}}, 400, "raise max_length or set max_new_tokens"),
        ({"prompt": "The sky", "generate_kwargs": {"no_such_knob": 1}}, 400, "no_such_knob"),
        ([], 422, "JSON object"),
    ],
)
def test_refusals_have_a_detail(server: Server, body: Any, status: int, detail: str) -> None:
    reply = server.post("/chat", body)
    assert reply.status == status
    assert detail in str(reply.json["detail"])


def test_a_body_that_is_no_json_is_unprocessable(server: Server) -> None:
    assert server.post("/chat", b"{prompt").status == 422
