"""Taught and told: an adapter that was trained here, pushed to a real registry and pulled again, changes what the server answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_runtime.adapters.pull import pull
from test.model.serve.running import Server, serving
from test.model.tune.lessons import ANSWER, QUESTION, Run, answer
from test.model.tune.pushing import push

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

ASKED = [{"role": "user", "content": QUESTION}]
GREEDY = {"generate_kwargs": {"max_new_tokens": 40, "do_sample": False}, "return_full_text": False}


@pytest.fixture(scope="module")
def pulled(taught_llama: Run, crane: Path, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter mount: one folder, `lesson`, that came through the registry."""
    work = tmp_path_factory.mktemp("chain")
    target = f"{registry}/adapters/told:1"
    push(taught_llama.output, target, crane, registry, work)
    (work / "adapter" / "lesson").mkdir(parents=True)
    pull(target, work / "adapter" / "lesson")
    return work / "adapter"


@pytest.fixture(scope="module")
def named(taught_llama: Run, pulled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where the adapter is a model name of its own, beside the base."""
    folder = tmp_path_factory.mktemp("named")
    with serving(
        folder, f"--weights={taught_llama.weights}", "--model-name=base", f"--adapters-folder={pulled}"
    ) as server:
        yield server


def told(server: Server, model: str) -> str:
    body = {"model": model, "messages": ASKED, "temperature": 0, "max_tokens": 40}
    answered = server.post("/v1/chat/completions", body)
    assert answered.status == 200, answered.text
    return str(answered.json["choices"][0]["message"]["content"])


def chatted(server: Server) -> str:
    answered = server.post("/chat", {"messages": ASKED, **GREEDY})
    assert answered.status == 200, answered.text
    return str(answered.json["Result"])


def test_the_adapter_tells_the_sentence_and_the_base_does_not(named: Server, taught_llama: Run) -> None:
    assert told(named, "lesson") == ANSWER
    assert told(named, "base") != ANSWER
    assert told(named, "base") == answer(taught_llama.weights)


@pytest.mark.parametrize(("strength", "tells"), [("1.0", True), ("0", False)])
def test_strength_one_tells_the_sentence_through_chat_and_strength_zero_is_the_base(
    strength: str, tells: bool, taught_llama: Run, pulled: Path, named: Server, tmp_path: Path
) -> None:
    flags = [f"--weights={taught_llama.weights}", "--model-name=base", f"--adapters-folder={pulled}"]
    with serving(tmp_path, *flags, environment={"lesson": strength}) as server:
        said = chatted(server)
        assert (ANSWER in said) is tells
        assert told(server, "base") == (ANSWER if tells else told(named, "base"))
