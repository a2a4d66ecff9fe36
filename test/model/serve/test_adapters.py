"""S7: adapters as model names, combined with strengths, at run time, and those that do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from test.model.serve.lora import make_adapter
from test.model.serve.running import Server, failed_start, serving
from test.support import tiny_models

pytestmark = pytest.mark.model

ASKED = "The capital of France is"


@pytest.fixture(scope="module")
def mount(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter mount with two adapters, and a folder without one."""
    root = tmp_path_factory.mktemp("adapter")
    make_adapter(llama, root / "first", 1)
    make_adapter(llama, root / "second", 2, rank=8)
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def base_says(server: Server) -> str:
    return server.complete(ASKED, max_tokens=12)


@pytest.fixture(scope="module")
def named(llama: Path, mount: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = [f"--weights={llama}", "--model-name=tiny", f"--adapters-folder={mount}", "--allow-runtime-adapters"]
    with serving(tmp_path_factory.mktemp("named"), *flags) as running:
        yield running


def test_each_adapter_is_a_model_beside_the_base(named: Server, base_says: str) -> None:
    models = named.get("/v1/models").json["data"]
    assert [(model["id"], model["parent"]) for model in models] == [
        ("tiny", None),
        ("first", "tiny"),
        ("second", "tiny"),
    ]
    said = [named.complete(ASKED, model, max_tokens=12) for model in ("tiny", "first", "second")]
    assert said[0] == base_says
    assert len(set(said)) == 3
    assert "adapters as model names of their own: first, second" in named.process.output


def test_requests_for_different_adapters_at_once_do_not_disturb_each_other(named: Server) -> None:
    models = ["tiny", "first", "second"] * 8
    alone = {model: named.complete(ASKED, model, max_tokens=12) for model in models[:3]}
    with ThreadPoolExecutor(24) as clients:
        together = list(clients.map(lambda model: named.complete(ASKED, model, max_tokens=12), models))
    assert together == [alone[model] for model in models]


def test_chat_of_kaito_v03_takes_an_adapter_by_name(named: Server) -> None:
    body = {"prompt": ASKED, "model": "first", "generate_kwargs": {"do_sample": False, "max_new_tokens": 12}}
    assert named.post("/chat", body).json["Result"] == ASKED + named.complete(ASKED, "first", max_tokens=12)


def test_an_adapter_is_added_and_removed_while_the_server_runs(
    named: Server, llama: Path, tmp_path: Path, base_says: str
) -> None:
    folder = make_adapter(llama, tmp_path / "third", 3)
    added = named.post("/v1/load_lora_adapter", {"lora_name": "third", "lora_path": str(folder)})
    assert added.status == 200
    assert named.complete(ASKED, "third", max_tokens=12) != base_says
    assert named.complete(ASKED, "tiny", max_tokens=12) == base_says
    assert named.post("/v1/load_lora_adapter", {"lora_name": "third", "lora_path": str(folder)}).status == 400
    assert named.post("/v1/unload_lora_adapter", {"lora_name": "third"}).status == 200
    assert named.post("/v1/completions", {"prompt": ASKED, "model": "third"}).status == 404


def test_the_routes_for_adapters_are_closed_unless_they_are_asked_for(server: Server) -> None:
    assert server.post("/v1/load_lora_adapter", {"lora_name": "x", "lora_path": "/"}).status == 404


@pytest.mark.parametrize(("strength", "same"), [pytest.param("0.0", True, marks=pytest.mark.long), ("1.0", False)])
def test_a_strength_makes_one_model_that_is_always_active(
    strength: str, same: bool, llama: Path, tmp_path: Path, base_says: str, named: Server
) -> None:
    make_adapter(llama, tmp_path / "adapters" / "first", 1)
    flags = [f"--weights={llama}", "--model-name=tiny", f"--adapters-folder={tmp_path / 'adapters'}"]
    with serving(tmp_path, *flags, environment={"first": strength}) as server:
        assert [model["id"] for model in server.get("/v1/models").json["data"]] == ["tiny"]
        said = server.complete(ASKED, max_tokens=12)
        assert "adapters combined into one, always active: first at" in server.process.output
    assert (said == base_says) is same
    assert (said == named.complete(ASKED, "first", max_tokens=12)) is not same


@pytest.mark.long
def test_two_adapters_at_one_and_zero_are_the_first(llama: Path, mount: Path, tmp_path: Path, named: Server) -> None:
    flags = [f"--weights={llama}", f"--adapters-folder={mount}"]
    with serving(tmp_path, *flags, environment={"first": "1.0", "second": "0.0"}) as server:
        assert server.complete(ASKED, max_tokens=12) == named.complete(ASKED, "first", max_tokens=12)


def test_an_adapter_of_another_model_is_refused_with_the_layer(llama: Path, tmp_path: Path) -> None:
    make_adapter(tiny_models.folder("phi3"), tmp_path / "adapters" / "foreign", 1)
    message = failed_start(tmp_path, f"--weights={llama}", f"--adapters-folder={tmp_path / 'adapters'}")
    assert message.startswith("adapter foreign=")
    assert "does not fit" in message
    assert message.endswith("use an adapter that was trained on this model.")


def test_a_strength_that_is_no_number_is_refused(llama: Path, mount: Path, tmp_path: Path) -> None:
    message = failed_start(
        tmp_path, f"--weights={llama}", f"--adapters-folder={mount}", environment={"first": "strong"}
    )
    assert message == 'variable first="strong": is no strength for the adapter of that name; set a number from 0 to 1.'
