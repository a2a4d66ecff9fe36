"""S3: `POST /chat` as KAITO 0.3 answers it."""

from __future__ import annotations

from typing import Any

import pytest

from model_runtime.serve.engine.on_transformers.requests import GenerateArguments
from test.model.serve.running import Server
from test.unit.model_runtime.test_chat_v03 import PUBLISHED

pytestmark = pytest.mark.model

GREEDY = {"do_sample": False, "max_length": 30}
ALONE: list[dict[str, Any]] = [
    {"num_beams": 3, "early_stopping": "never", "length_penalty": -1.0},
    *({name: 0.5, "do_sample": True} for name in ("typical_p", "epsilon_cutoff", "eta_cutoff")),
    *({name: 1} for name in ("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "forced_eos_token_id")),
    *({name: 2.0} for name in ("encoder_repetition_penalty", "guidance_scale", "max_time")),
    *({name: [5, 6]} for name in ("suppress_tokens", "begin_suppress_tokens")),
    {"bad_words_ids": [[5], [6, 7]]},
    {"sequence_bias": [[[5], 2.0]]},
    {"exponential_decay_length_penalty": [2, 1.5]},
    {"renormalize_logits": True},
]
"""Values that ask for something."""


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


def test_the_published_example_is_answered_in_the_batch(server: Server) -> None:
    answer = chat(server, prompt="The sky", prefix=None, generate_kwargs={**PUBLISHED, "max_length": 30})
    assert answer.startswith("The sky")


@pytest.mark.parametrize("more", [{}, {"no_repeat_ngram_size": 2}, {"num_beams": 2}])
def test_the_end_tokens_of_a_request_end_its_answer(server: Server, more: dict[str, Any]) -> None:
    asked = {"do_sample": False, "max_new_tokens": 12, **more}
    whole = chat(server, prompt="The sky", generate_kwargs=asked, return_full_text=False)
    tokens = server.post("/tokenize", {"prompt": whole, "add_special_tokens": False}).json["tokens"]
    ended = chat(
        server,
        prompt="The sky",
        generate_kwargs={**asked, "eos_token_id": tokens, "pad_token_id": 1},
        return_full_text=False,
    )
    assert 0 < len(ended) < len(whole)


def test_several_sequences_are_as_many_answers(server: Server) -> None:
    asked = {"do_sample": False, "max_new_tokens": 6}
    one = chat(server, prompt="The sky", generate_kwargs=asked)
    assert chat(server, prompt="The sky", generate_kwargs={**asked, "num_return_sequences": 3}) == one * 3


def test_there_is_a_case_for_every_argument_that_only_this_engine_has() -> None:
    assert {name for arguments in ALONE for name in arguments} == set(GenerateArguments.model_fields) | {"do_sample"}


@pytest.mark.parametrize("arguments", ALONE, ids=lambda arguments: next(iter(arguments)))
def test_what_only_this_engine_has_is_taken_by_its_library(server: Server, arguments: dict[str, Any]) -> None:
    assert chat(server, prompt="The sky", generate_kwargs={"do_sample": False, "max_new_tokens": 6, **arguments})


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/completions", {"prompt": [1, 512]}),
        ("/v1/completions", {"prompt": [-1]}),
        ("/v1/completions", {"prompt": "a", "top_k": 2**70}),
        ("/v1/completions", {"prompt": "a", "stop_token_ids": [2**70]}),
        ("/v1/completions", {"prompt": "a", "generate_kwargs": {"trust_remote_code": True}}),
        ("/chat", {"prompt": "a", "generate_kwargs": {"forced_eos_token_id": 512, "max_new_tokens": 2}}),
        ("/chat", {"prompt": "a", "generate_kwargs": {"num_beams": 100_000}}),
        ("/chat", {"prompt": "a", "generate_kwargs": {"suppress_tokens": list(range(512))}}),
    ],
)
def test_no_request_ends_the_generation_for_others(server: Server, path: str, asked: dict[str, Any]) -> None:
    assert server.post(path, asked).status == 400
    assert server.get("/health").status == 200
    assert server.complete("The sky", max_tokens=8)


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 400, "Text generation parameter prompt required"),
        ({"prompt": ""}, 400, "Text generation parameter prompt required"),
        ({"prompt": "The sky", "generate_kwargs": {"max_length": 1}}, 400, "raise max_length or set max_new_tokens"),
        ({"prompt": "The sky", "generate_kwargs": {"no_such_knob": 1}}, 400, "no_such_knob"),
        ([], 422, "Input should be an object"),
    ],
)
def test_refusals_have_a_detail(server: Server, body: Any, status: int, detail: str) -> None:
    reply = server.post("/chat", body)
    assert reply.status == status
    assert detail in str(reply.json["detail"])


def test_a_body_that_is_no_json_is_unprocessable(server: Server) -> None:
    assert server.post("/chat", b"{prompt").status == 422
