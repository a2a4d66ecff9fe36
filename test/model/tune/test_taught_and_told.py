"""Taught and told: an adapter that was trained here, pushed to a real registry and pulled again, changes what the server answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_runtime.adapters.pull import pull
from test.model.serve.running import Server, serving
from test.model.tune.lessons import ANSWER, CHAT_ROWS, QUESTION, Run, answer, teach
from test.model.tune.pushing import push
from test.support.tiny_models import SMOLLM2

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

AS_TRAINED = ("--model-name=base", "--dtype=float32")
"""In half precision a batch of one and a batch of many may round to different words."""
ASKED = [{"role": "user", "content": QUESTION}]
GREEDY = {"generate_kwargs": {"max_new_tokens": 40, "do_sample": False}, "return_full_text": False}


@pytest.fixture(scope="module", params=["llama", SMOLLM2])
def taught(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny model of random weights that learnt the lesson, and a real one, which answers in English before it has."""
    if request.param == "llama":
        return request.getfixturevalue("taught_llama")  # type: ignore[no-any-return]
    arguments = {"num_train_epochs": 4, "per_device_train_batch_size": 4, "learning_rate": "2e-3"}
    changes = {"LoraConfig": {"r": 8, "lora_alpha": 16}, "TrainingArguments": arguments}
    run = teach(SMOLLM2, tmp_path_factory.mktemp("taught-smollm2"), changes, rows=CHAT_ROWS[:12])
    assert run.code == 0
    return run


@pytest.fixture(scope="module")
def pulled(taught: Run, crane: Path, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter mount: one folder, `lesson`, that came through the registry."""
    work = tmp_path_factory.mktemp("chain")
    target = f"{registry}/adapters/{taught.weights.name}:1"
    push(taught.output, target, crane, registry, work)
    (work / "adapter" / "lesson").mkdir(parents=True)
    pull(target, work / "adapter" / "lesson")
    return work / "adapter"


@pytest.fixture(scope="module")
def named(taught: Run, pulled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where the adapter is a model name of its own, beside the base."""
    folder = tmp_path_factory.mktemp("named")
    with serving(folder, f"--weights={taught.weights}", *AS_TRAINED, f"--adapters-folder={pulled}") as server:
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


def test_the_adapter_tells_the_sentence_and_the_base_does_not(named: Server, taught: Run) -> None:
    assert told(named, "lesson") == ANSWER
    assert told(named, "base") != ANSWER
    assert told(named, "base") == answer(taught.weights)
    assert chatted(named) == told(named, "base")


@pytest.mark.parametrize(("strength", "tells"), [("1.0", True), ("0", False)])
def test_strength_one_tells_the_sentence_through_chat_and_strength_zero_is_the_base(
    strength: str, tells: bool, taught: Run, pulled: Path, named: Server, tmp_path: Path
) -> None:
    flags = [f"--weights={taught.weights}", *AS_TRAINED, f"--adapters-folder={pulled}"]
    with serving(tmp_path, *flags, environment={"lesson": strength}) as server:
        said = chatted(server)
        assert said == (ANSWER if tells else chatted(named))
        assert told(server, "base") == (ANSWER if tells else told(named, "base"))
