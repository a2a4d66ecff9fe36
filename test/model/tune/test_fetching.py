"""The base model where the image has none: fetched before it is checked, once, and only when a variable says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from model_runtime import contract
from model_runtime.clock import Clock
from model_runtime.tune import config
from model_runtime.tune.fetching import VARIABLE, with_weights
from model_runtime.tune.progress import Progress
from test.model.tune.lessons import Run, prepare, start, write_config
from test.support.hub_server import COMMIT, Hub, serving

pytestmark = pytest.mark.model


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run whose configuration names no model."""
    made = prepare("llama", tmp_path)
    write_config(made, {"ModelConfig": {"pretrained_model_name_or_path": contract.WEIGHTS_FOLDER}})
    return made


@pytest.fixture
def hub(run: Run) -> Iterator[Hub]:
    with serving(Hub("owner/tiny", run.weights, token="")) as running:
        yield running


def told(run: Run, hub: Hub) -> dict[str, str]:
    return {
        VARIABLE: f"hf://owner/tiny@{COMMIT}",
        "MODEL_RUNTIME_HF_ENDPOINT": hub.url,
        "MODEL_RUNTIME_WEIGHTS_FOLDER": str(run.folder / "weights"),
    }


def test_the_base_model_is_fetched_once_and_its_size_is_shown(run: Run, hub: Hub) -> None:
    environment = {**run.environment, **told(run, hub)}
    progress = Progress(Clock())
    settings = config.read_config(config.config_path(environment), environment)

    folder = with_weights(settings, environment, progress).model.pretrained_model_name_or_path
    asked = len(hub.requests)

    assert (Path(folder) / "model.safetensors").read_bytes() == (run.weights / "model.safetensors").read_bytes()
    assert progress.read().fetched_bytes == progress.read().weights_bytes > 10**5
    assert with_weights(settings, environment, progress).model.pretrained_model_name_or_path == folder
    assert len(hub.requests) == asked


def test_a_run_trains_on_what_was_fetched(run: Run, hub: Hub) -> None:
    write_config(
        run,
        {
            "ModelConfig": {"pretrained_model_name_or_path": contract.WEIGHTS_FOLDER},
            "TrainingArguments": {"max_steps": 1},
        },
    )
    assert start(run, **told(run, hub)).code == 0
    assert run.record()["base"] == str(run.folder / "weights" / "owner--tiny")


def test_data_that_cannot_be_used_is_refused_before_anything_is_fetched(
    run: Run, hub: Hub, quiet_libraries: Path
) -> None:
    (run.folder / "data" / "lesson.parquet").unlink()
    assert start(run, **told(run, hub)).code == 1
    assert str(run.folder / "data") in quiet_libraries.read_text()
    assert hub.requests == []


def test_a_configuration_that_names_a_folder_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    made = prepare("llama", tmp_path / "own")
    assert start(made, "--check", **told(made, hub)).code == 0
    assert hub.requests == []
