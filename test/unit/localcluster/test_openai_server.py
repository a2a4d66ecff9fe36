"""The stand-in for a server with OpenAI's API: it streams, counts what it says, and counts under the names that a real engine has."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.localcluster.backends import Backends
from hack.localcluster.model_server import ModelServers
from hack.localcluster.openai_server import speaks_openai

RECORDED = Path("test/unit/kaito_controller/cli/metrics/transformers-engine.txt")
"""What the project's own engine said after three requests (`test/model/record_metrics.py`)."""


def pod(**container: Any) -> dict[str, Any]:
    meta = {"name": "served-1", "namespace": "default", "uid": "u", "labels": {"kaito.sh/workspace": "served"}}
    return {"metadata": meta, "spec": {"containers": [{"name": "served", **container}]}}


RUNTIME = pod(image="registry.example/m:1", command=["python3", "-m", "model_runtime.serve"])
PUBLISHED = pod(image="mcr.microsoft.com/aks/kaito/kaito-phi-3:1", command=["accelerate"], args=["inference_api.py"])


@pytest.fixture
def url() -> Iterator[str]:
    servers = ModelServers(lambda resource, namespace, name: RUNTIME)
    servers.start()
    servers.open(RUNTIME)
    yield str(servers.backend("services", "default", "served", "80"))
    servers.stop()


def ask(url: str, body: Any = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=5) as reply:
        return str(reply.read().decode())


def types(text: str) -> dict[str, str]:
    return {name.removesuffix("_total"): kind for name, kind in re.findall(r"^# TYPE (vllm:\S+) (\w+)$", text, re.M)}


def test_only_the_runtime_image_and_vllm_speak_it() -> None:
    assert speaks_openai(RUNTIME)
    assert speaks_openai(pod(image="vllm/vllm-openai:v0.33.0"))
    assert not speaks_openai(PUBLISHED)


def test_a_streamed_answer_is_the_whole_answer_word_by_word(url: str) -> None:
    asked = {"messages": [{"role": "user", "content": "one two"}]}
    whole = json.loads(ask(f"{url}/v1/chat/completions", asked))["choices"][0]["message"]["content"]
    events = re.findall(r"^data: (\{.*)$", ask(f"{url}/v1/chat/completions", {**asked, "stream": True}), re.M)

    assert whole.startswith("one two [served: ")
    assert "".join(json.loads(event)["choices"][0]["delta"]["content"] for event in events) == whole
    assert len(events) == len(whole.split())


def test_what_was_said_is_counted_under_the_names_of_a_real_engine(url: str) -> None:
    ask(f"{url}/v1/chat/completions", {"messages": [{"role": "user", "content": "one two three"}]})
    text = ask(f"{url}/metrics")

    assert 'vllm:prompt_tokens_total{model_name="served"} 3.0' in text
    assert types(text).items() <= types(RECORDED.read_text("utf-8")).items()


def test_what_is_no_conversation_is_refused(url: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{url}/v1/chat/completions", {"messages": "hi"})
    with refused.value as reply:
        assert reply.code == 400
    assert json.loads(ask(f"{url}/v1/models"))["data"][0]["id"] == "served"


def test_a_service_leads_to_the_program_that_was_told_and_only_on_loopback() -> None:
    backends = Backends()

    backends.put("metrics", {"namespace": "system", "url": "http://127.0.0.1:9"})
    assert backends.url_of("services", "system", "metrics") == "http://127.0.0.1:9"
    assert backends.url_of("pods", "system", "metrics") is None
    assert backends.url_of("services", "default", "metrics") is None
    for body in ({"namespace": "system", "url": "http://example.com:80"}, {"url": "http://127.0.0.1:9"}, {}):
        with pytest.raises(ValueError, match="give both"):
            backends.put("metrics", body)
