"""Our server around vLLM's own application and engine, on a CPU: the routes, the adapters and the limits that users were promised."""

from __future__ import annotations

import http.client
import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from test.model.serve.running import Answer, Server, serving
from test.model.vllm.conftest import ENVIRONMENT, FLAGS, START_S
from test.support import tiny_models
from test.support.processes import wait_until
from test.unit.model_runtime.test_chat_v03 import PUBLISHED

pytestmark = [pytest.mark.vllm_cpu, pytest.mark.timeout(2 * START_S)]

ASKED = "The capital of France is"
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
HALF = "\N{REPLACEMENT CHARACTER}"
LONG = {"prompt": "The sky", "max_tokens": 400, "temperature": 1.0, "ignore_eos": True}


def greedy(llama: Path, adapter: Path | None, tokens: int) -> str:
    """What Transformers and PEFT say, without any server."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    model: Any = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    prompt = tokenizer(ASKED, return_tensors="pt")
    said = model.generate(**prompt, max_new_tokens=tokens, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    # vLLM keeps the beginning of a character back until its rest has come.
    return str(tokenizer.decode(said, skip_special_tokens=True)).rstrip(HALF)


@pytest.mark.parametrize("name", ["tiny", "first", "second"])
def test_each_model_says_what_transformers_and_peft_say(served: Server, llama: Path, mount: Path, name: str) -> None:
    expected = greedy(llama, None if name == "tiny" else mount / name, 12)
    assert expected
    assert served.complete(ASKED, name, max_tokens=12) == expected


def test_the_base_and_each_adapter_are_models(served: Server) -> None:
    models = served.get("/v1/models").json["data"]
    assert [(model["id"], model["parent"]) for model in models] == [
        ("tiny", None),
        ("first", "tiny"),
        ("second", "tiny"),
    ]
    assert len({served.complete(ASKED, model["id"], max_tokens=12) for model in models}) == 3


def test_the_openai_client_streams_what_it_is_told_whole(served: Server) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(model="first", messages=HELLO, max_tokens=12, temperature=0)
        pieces = client.chat.completions.create(
            model="first", messages=HELLO, max_tokens=12, temperature=0, stream=True
        )
        streamed = [piece.choices[0].delta.content or "" for piece in pieces if piece.choices]
    assert whole.choices[0].message.content
    assert "".join(streamed) == whole.choices[0].message.content
    assert len([piece for piece in streamed if piece]) > 1


def test_both_health_paths_answer_and_the_log_says_so(served: Server) -> None:
    assert [served.get(path).status for path in ("/health", "/healthz", "/")] == [200, 200, 200]
    assert "tiny is served; /health answers 200" in served.process.output


def test_chat_of_kaito_03_repeats_the_prompt_and_counts_both_together(served: Server) -> None:
    greedily = {"do_sample": False, "max_new_tokens": 12}
    said = served.complete(ASKED, max_tokens=12, repetition_penalty=1)
    told = served.post("/chat", {"prompt": ASKED, "generate_kwargs": greedily})
    bare = served.post("/chat", {"prompt": ASKED, "return_full_text": False, "generate_kwargs": greedily})
    assert told.json == {"Result": ASKED + said}
    assert bare.json == {"Result": said}
    assert served.post("/chat", {"messages": HELLO}).json["Result"]
    counted = served.post("/tokenize", {"prompt": ASKED}).json["count"]
    short = served.post("/chat", {"prompt": ASKED, "generate_kwargs": {"max_length": counted}})
    assert (short.status, "raise max_length" in short.json["detail"]) == (400, True)


def test_what_the_published_example_sends_is_answered(served: Server) -> None:
    answered = served.post(
        "/chat", {"prompt": ASKED, "prefix": None, "generate_kwargs": {**PUBLISHED, "max_length": 40}}
    )
    assert answered.status == 200, answered.text
    assert answered.json["Result"].startswith(ASKED)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"prompt": ASKED, "generate_kwargs": {"num_beams": 4}},
            "generate_kwargs.num_beams=4 cannot be used with this server's engine, vllm",
        ),
        ({"prompt": ASKED, "model": "absent"}, "absent"),
        ({}, "prompt required"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_detail(served: Server, body: dict[str, Any], words: str) -> None:
    answered = served.post("/chat", body)
    assert answered.status in (400, 404)
    assert words in answered.json["detail"]


def test_an_adapter_comes_and_goes_without_a_restart(served: Server, mount: Path) -> None:
    loaded = served.post("/v1/load_lora_adapter", {"lora_name": "third", "lora_path": str(mount / "second")})
    assert loaded.status == 200, loaded.text
    assert served.complete(ASKED, "third", max_tokens=12) == served.complete(ASKED, "second", max_tokens=12)
    assert served.post("/v1/unload_lora_adapter", {"lora_name": "third"}).status == 200
    assert served.post("/v1/completions", {"prompt": ASKED, "model": "third"}).status == 404


def test_every_metric_of_the_readme_is_there(served: Server) -> None:
    import re

    top = Path(__file__).resolve().parents[3]
    section = (top / "model_runtime" / "README.md").read_text().split("### Metrics", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"`((?:vllm:|model_runtime_)\w+)`", section))
    served.post("/v1/completions", {"prompt": ASKED, "max_tokens": 2})
    shown = served.get("/metrics").text
    assert len(named) > 10
    assert {name for name in named if f"# TYPE {name.removesuffix('_total')}" not in shown} == set()
    assert 'model_runtime_info{engine="vllm"' in shown


def settled(server: Server) -> None:
    """No request is left anywhere, vLLM's own engine included."""
    names = ("model_runtime_requests_in_flight", "vllm:num_requests_running", "vllm:num_requests_waiting")
    wait_until(lambda: all(server.metric(name) == 0 for name in names), 60, "all requests to end")


def test_a_request_whose_client_leaves_is_cancelled_in_vllm_too(served: Server) -> None:
    before = served.metric("vllm:generation_tokens_total")
    for _ in range(4):
        connection = http.client.HTTPConnection(served.url.removeprefix("http://"))
        connection.request(
            "POST", "/v1/completions", json.dumps({**LONG, "stream": True}), {"content-type": "application/json"}
        )
        assert connection.getresponse().read(20)
        connection.close()
    settled(served)
    assert served.metric("vllm:generation_tokens_total") - before < 4 * 400


def test_more_than_may_wait_are_refused_and_nobody_sees_a_fault(served: Server) -> None:
    with ThreadPoolExecutor(16) as clients:
        replies = [clients.submit(served.post, "/v1/completions", LONG) for _ in range(16)]
        answers = [reply.result() for reply in replies]
    counted = Counter(answer.status for answer in answers)
    assert set(counted) == {200, 429}
    assert counted[200] >= 8
    settled(served)


def test_strengths_make_one_model_and_sigterm_finishes_what_runs(llama: Path, mount: Path, tmp_path: Path) -> None:
    """From first to last: it answers while vLLM loads, serves the combined model, and lets what runs end."""
    flags = [f"--weights={llama}", f"--adapters-folder={mount}", f"--weights-folder={tmp_path}", *FLAGS]
    environment = {**ENVIRONMENT, "first": "1.0", "second": "0.0"}
    more = ["--max-num-seqs=4", "--drain-timeout-s=200"]
    with serving(tmp_path, *flags, *more, environment=environment, ready=False, start_s=START_S) as server:
        server.process.wait_for_output("Initializing a V1 LLM engine", START_S)
        loading = server.get("/health")
        assert (loading.status, loading.json["detail"]) == (503, f"loading the model in {llama}")
        assert server.metric("model_runtime_ready") == 0
        server.process.wait_for(lambda: server.get("/health").status == 200, START_S, "/health to answer 200")
        assert [model["id"] for model in server.get("/v1/models").json["data"]] == ["tiny"]
        assert server.complete(ASKED, max_tokens=12) == greedy(llama, mount / "first", 12)
        with ThreadPoolExecutor(8) as clients:
            running = [clients.submit(server.post, "/v1/completions", LONG) for _ in range(8)]
            server.process.wait_for(lambda: server.metric("model_runtime_requests_in_flight") == 8, 60, "8 requests")
            os.kill(server.process.pid, 15)
            server.process.wait_for_output("stopping: new requests are refused", 30)
            late = server.post("/v1/completions", LONG)
            answers: list[Answer] = [reply.result() for reply in running]
        assert late.status == 503
        assert Counter(answer.status for answer in answers) == {200: 8}
        assert server.process.wait_for_exit(60) == 0


def test_a_real_small_chat_model_answers_in_words(tmp_path: Path) -> None:
    """In float32: in bfloat16 this build for CPUs answers in French, where Transformers says Paris in either type."""
    question = [{"role": "user", "content": "What is the capital of France?"}]
    flags = [f"--weights={tiny_models.folder(tiny_models.SMOLLM2)}", "--engine=vllm", "--max-model-len=512"]
    more = ["--model-name=smollm2", "--dtype=float32", "--vllm.enforce-eager"]
    with serving(tmp_path, *flags, *more, environment=ENVIRONMENT, start_s=START_S) as server:
        asked = {"messages": question, "max_tokens": 16, "temperature": 0}
        told = server.post("/v1/chat/completions", asked).json["choices"][0]["message"]["content"]
        greedily = {"do_sample": False, "max_new_tokens": 16}
        as_in_03 = server.post("/chat", {"messages": question, "generate_kwargs": greedily}).json["Result"]
    assert "Paris" in told
    assert "Paris" in as_in_03
