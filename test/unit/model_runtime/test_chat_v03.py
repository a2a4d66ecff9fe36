"""S3: no argument of `/chat` is dropped without a word: each is told to the engine, ignored with a reason in the README, or refused."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from model_runtime.serve.chat_v03 import chat
from model_runtime.serve.engine.base import Message, Receive, Scope, Send, Started
from model_runtime.serve.engine.on_transformers.requests import GenerateArguments
from model_runtime.serve.exchange import Reply
from model_runtime.serve.generate_kwargs import IGNORED, NEUTRAL, Arguments

README = (Path(__file__).resolve().parents[3] / "model_runtime" / "README.md").read_text()
SCOPE: Scope = {"type": "http", "path": "/chat", "method": "POST", "headers": []}
PROMPT_TOKENS, CONTEXT = 5, 512
TRANSFORMERS_ALONE = frozenset(GenerateArguments.model_fields)
_NAMES = """
    max_length max_new_tokens min_length min_new_tokens early_stopping max_time stop_strings do_sample num_beams num_beam_groups
    penalty_alpha use_cache temperature top_k top_p min_p typical_p epsilon_cutoff eta_cutoff diversity_penalty repetition_penalty
    encoder_repetition_penalty length_penalty no_repeat_ngram_size bad_words_ids force_words_ids renormalize_logits constraints
    forced_bos_token_id forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens
    begin_suppress_tokens forced_decoder_ids sequence_bias guidance_scale low_memory watermarking_config num_return_sequences
    output_attentions output_hidden_states output_scores output_logits return_dict_in_generate pad_token_id bos_token_id
    eos_token_id encoder_no_repeat_ngram_size decoder_start_token_id num_assistant_tokens num_assistant_tokens_schedule
    cache_implementation prompt_lookup_num_tokens max_matching_ngram_size
"""
OF_TRANSFORMERS_4_41 = frozenset(_NAMES.split())
"""The fields of its GenerationConfig."""
REFUSED = {
    *("num_beam_groups", "diversity_penalty", "penalty_alpha", "force_words_ids", "constraints", "forced_decoder_ids"),
    *("watermarking_config", "output_attentions", "output_hidden_states", "output_scores", "output_logits"),
    "return_dict_in_generate",
}
"""By either engine, where they ask for something."""
PUBLISHED: dict[str, Any] = json.loads(
    """{
        "max_length": 200, "min_length": 0, "do_sample": true, "early_stopping": false, "num_beams": 1, "num_beam_groups": 1,
        "diversity_penalty": 0.0, "temperature": 1.0, "top_k": 10, "top_p": 1, "typical_p": 1, "repetition_penalty": 1,
        "length_penalty": 1, "no_repeat_ngram_size": 0, "encoder_no_repeat_ngram_size": 0, "bad_words_ids": null,
        "num_return_sequences": 1, "output_scores": false, "return_dict_in_generate": false, "forced_bos_token_id": null,
        "forced_eos_token_id": null, "remove_invalid_values": true
    }"""
)
"""What the published example and demonstration page send."""


class Played:
    """An engine that remembers what it is asked, and has two words for an answer."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.generate_arguments = TRANSFORMERS_ALONE if name == "transformers" else frozenset()
        self.asked: dict[str, Any] = {}

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = json.loads((await receive())["body"])
        answer: dict[str, Any] = {"count": PROMPT_TOKENS, "max_model_len": CONTEXT}
        if scope["path"] != "/tokenize":
            self.asked = {"path": scope["path"], **body}
            said = {"text": " blue ."} if "prompt" in body else {"message": {"content": " blue ."}}
            answer = {"choices": [said] * body.get("n", 1)}
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def start(self) -> Started:
        return Started(self.app, "played", 1)

    def trouble(self) -> str | None:
        return None

    async def stop(self) -> None:
        """Nothing to free."""


def reply_to(engine: Played, body: Any) -> Reply:
    return asyncio.run(chat(engine.app, engine, SCOPE, json.dumps(body).encode(), "text-generation"))


@pytest.fixture(params=["vllm", "transformers"])
def engine(request: pytest.FixtureRequest) -> Played:
    return Played(request.param)


def told(engine: Played, **arguments: Any) -> dict[str, Any]:
    """What the engine is asked for these arguments."""
    reply = reply_to(engine, {"prompt": "The sky", "generate_kwargs": arguments})
    assert reply.status == 200, reply.json
    return engine.asked


def test_every_argument_of_the_old_generate_has_a_place() -> None:
    honoured = Arguments.model_fields.keys()
    places = [set(honoured), set(IGNORED), set(TRANSFORMERS_ALONE), REFUSED]
    assert set().union(*places) == OF_TRANSFORMERS_4_41
    assert sum(map(len, places)) == len(OF_TRANSFORMERS_4_41)
    assert set(NEUTRAL) <= TRANSFORMERS_ALONE | REFUSED


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("both engines", Arguments.model_fields.keys()),
        ("Transformers only", TRANSFORMERS_ALONE),
        ("ignored", IGNORED.keys()),
        ("refused", REFUSED),
    ],
)
def test_the_readme_tells_what_becomes_of_each(row: str, names: set[str]) -> None:
    (line,) = re.findall(rf"^\| {row} \|(.*)\|$", README, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)) == set(names)
    assert all(reason in line for name, reason in IGNORED.items() if name in names)


def test_what_published_examples_send_is_a_plain_request(engine: Played) -> None:
    asked = told(engine, **PUBLISHED)
    limits = {"max_tokens": 195, "temperature": 1.0, "top_k": 10, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
    assert asked == {"path": "/v1/completions", "prompt": "The sky", **limits}


@pytest.mark.parametrize(("given", "ids"), [(7, [7]), ([7, 9], [7, 9])])
def test_end_tokens_take_the_place_of_the_models_own(engine: Played, given: Any, ids: list[int]) -> None:
    asked = told(engine, eos_token_id=given, pad_token_id=11)
    assert (asked["stop_token_ids"], asked["ignore_eos"], asked["include_stop_str_in_output"]) == (ids, True, True)
    assert "pad_token_id" not in asked.get("generate_kwargs", {})
    assert "ignore_eos" not in told(engine, eos_token_id=None)


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({"do_sample": False, "temperature": 0.7}, {"temperature": 0, "max_tokens": 195}),
        ({"min_length": 20}, {"min_tokens": 15}),
        ({"min_length": 20, "min_new_tokens": 30}, {"min_tokens": 30}),
        ({"stop_strings": ["."]}, {"stop": ["."], "include_stop_str_in_output": True}),
        ({"min_p": 0.1, "repetition_penalty": 1.2}, {"min_p": 0.1, "repetition_penalty": 1.2}),
        ({"max_length": 4096}, {"max_tokens": CONTEXT - PROMPT_TOKENS}),
        ({"max_length": 50, "max_new_tokens": 3}, {"max_tokens": 3}),
    ],
)
def test_arguments_in_the_words_of_the_openai_routes(
    engine: Played, arguments: dict[str, Any], fields: dict[str, Any]
) -> None:
    asked = told(engine, **arguments)
    assert {name: asked[name] for name in fields} == fields


def test_several_sequences_are_one_text_as_before(engine: Played) -> None:
    reply = reply_to(engine, {"prompt": "Sky:", "generate_kwargs": {"num_return_sequences": 2}})
    assert reply.json == {"Result": "Sky: blue .Sky: blue ."}


def test_the_other_fields_of_the_body(engine: Played) -> None:
    body = {"prompt": "Sky:", "prefix": "Say it. ", "clean_up_tokenization_spaces": True, "return_full_text": True}
    assert reply_to(engine, body).json == {"Result": "Sky: blue."}
    assert engine.asked["prompt"] == "Say it. Sky:"
    assert reply_to(engine, {"messages": [{"role": "user", "content": "a"}], "model": "x"}).json == {
        "Result": " blue ."
    }
    assert (engine.asked["path"], engine.asked["model"]) == ("/v1/chat/completions", "x")


def test_one_engine_has_more_arguments_and_the_other_refuses_them() -> None:
    asked = {"prompt": "a", "generate_kwargs": {"num_beams": 4, "early_stopping": True}}
    transformers = Played("transformers")
    assert reply_to(transformers, asked).status == 200
    assert transformers.asked["generate_kwargs"] == asked["generate_kwargs"]
    refused = reply_to(Played("vllm"), asked)
    sentence = "generate_kwargs.num_beams=4 cannot be used with this server's engine, vllm; leave it out"
    assert (refused.status, refused.json) == (400, {"detail": sentence})


@pytest.mark.parametrize("name", sorted({*REFUSED, "no_such_argument", "trust_remote_code", "custom_generate"}))
def test_what_no_engine_has_is_refused_by_name(engine: Played, name: str) -> None:
    refused = reply_to(engine, {"prompt": "a", "generate_kwargs": {name: "x"}})
    assert refused.status == 400
    assert refused.json["detail"].startswith(f'generate_kwargs.{name}="x" cannot be used')
    assert engine.asked == {}


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"prompt": 5}, ["prompt"]),
        ({"prompt": "a", "generate_kwargs": []}, ["generate_kwargs"]),
        ({"prompt": "a", "generate_kwargs": {"max_length": "x"}}, ["generate_kwargs", "max_length"]),
        ({"prompt": "a", "generate_kwargs": {"min_length": 2**70}}, ["generate_kwargs", "min_length"]),
        ({"prompt": "a", "handle_long_generation": "hole"}, ["handle_long_generation"]),
    ],
)
def test_a_wrong_value_is_told_with_its_place(engine: Played, body: dict[str, Any], where: list[str]) -> None:
    reply = reply_to(engine, body)
    assert (reply.status, reply.json["detail"][0]["loc"]) == (422, ["body", *where])
    assert len(reply.body) < 400
