"""T7: what cannot work is refused before the weights are loaded, in one sentence; what can is described."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_runtime.clock import Clock
from model_runtime.tune import main
from test.model.tune.lessons import CHAT_ROWS, ROWS, Run, prepare, start, write_config, write_parquet

pytestmark = pytest.mark.model


@pytest.fixture
def hollow(tmp_path: Path) -> Run:
    """A run whose weight file is no weights: whoever loads it fails."""
    run = prepare("llama", tmp_path)
    folder = tmp_path / "weights"
    shutil.copytree(run.weights, folder)
    (folder / "model.safetensors").write_bytes(b"nothing to load")
    return Run(tmp_path, folder)


def configure(run: Run, changes: dict[str, Any]) -> Run:
    write_config(run, changes)
    return run


def test_the_check_alone_describes_the_run_and_loads_nothing(hollow: Run, caplog: pytest.LogCaptureFixture) -> None:
    configure(hollow, {"DatasetConfig": {"train_test_split": 0.75}})
    with caplog.at_level(logging.INFO):
        assert start(hollow, "--check").code == 0
    said = [record.getMessage() for record in caplog.records if record.name == "fine_tuning"]
    assert f"{hollow.folder}/data/lesson.parquet (parquet), messages; 48 rows to train, 16 to evaluate" in said[0]
    assert said[1] == "tokens: 1,296 an epoch; median 27, longest 27 (row 1)"
    assert said[2] == "adapter: 65,536 of 426,624 parameters are trained, in 36 steps"
    assert said[3].startswith("memory: ")
    assert "on CPU, which has" in said[3]
    assert said[4].startswith("time: ")
    assert not hollow.output.exists()


def test_the_planned_steps_are_those_that_are_trained(taught_llama: Run) -> None:
    prepared = main.prepare(taught_llama.environment, Clock(), 1)
    assert prepared.report.steps == taught_llama.record()["steps"]
    assert prepared.run == taught_llama.record()["run"]


def refused(run: Run, message: Path, changes: dict[str, Any], **variables: str) -> str:
    configure(run, changes)
    assert start(run, **variables).code == 1
    said = message.read_text()
    assert "\n" not in said
    assert not run.output.exists() or not list(run.output.iterdir())
    return said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"TrainingArguments": {"no_such_key": 1}},
            "training_config: TrainingArguments has the unknown key no_such_key",
        ),
        (
            {"LoraConfig": {"target_modules": ["qkv_proj"]}},
            'LoraConfig.target_modules="qkv_proj": Target modules',
        ),
        (
            {"ModelConfig": {"pretrained_model_name_or_path": "/nowhere/weights"}},
            'ModelConfig.pretrained_model_name_or_path="/nowhere/weights": no such folder; mount the weights there',
        ),
        (
            {"TrainingArguments": {"bf16": True, "fp16": True}},
            "TrainingArguments: At most one of fp16 and bf16 can be True",
        ),
        (
            {"DatasetConfig": {"dataset_path": "data/other.csv"}},
            'DatasetConfig.dataset_path="data/other.csv": no file /mnt/data/other.csv; ',
        ),
    ],
)
def test_a_mistake_is_refused_before_anything_is_loaded(
    changes: dict[str, Any], said: str, hollow: Run, quiet_libraries: Path
) -> None:
    assert refused(hollow, quiet_libraries, changes).startswith(said)


def test_modules_that_the_model_lacks_are_answered_with_those_it_has(hollow: Run, quiet_libraries: Path) -> None:
    said = refused(hollow, quiet_libraries, {"LoraConfig": {"target_modules": ["qkv_proj"]}})
    assert said.endswith(
        "choose from down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj, or all-linear."
    )


def test_a_limit_beyond_the_models_context_is_refused_when_a_row_needs_it(hollow: Run, quiet_libraries: Path) -> None:
    long = {"messages": [{"role": "user", "content": "fox " * 900}, {"role": "assistant", "content": "no"}]}
    write_parquet(hollow.folder / "data" / "lesson.parquet", [*CHAT_ROWS, long])
    said = refused(hollow, quiet_libraries, {"TrainingArguments": {"max_length": 1024}})
    assert said == "TrainingArguments.max_length=1024: the model was made for 512 tokens; set it to at most 512."


def test_prompts_that_leave_nothing_to_learn_are_refused(hollow: Run, quiet_libraries: Path) -> None:
    rows = [{"prompt": "what is the fox " * 20, "completion": "a fox"}]
    write_parquet(hollow.folder / "data" / "lesson.parquet", rows)
    said = refused(hollow, quiet_libraries, {"TrainingArguments": {"max_length": 16}})
    assert said.startswith(
        "TrainingArguments.max_length=16: every prompt alone is as long, so nothing is learnt; raise it"
    )


def test_rows_that_are_cut_and_lost_are_counted(hollow: Run, caplog: pytest.LogCaptureFixture) -> None:
    configure(hollow, {"TrainingArguments": {"max_length": 20}})
    with caplog.at_level(logging.INFO):
        assert start(hollow, "--check").code == 0
    assert f"cut: {ROWS} rows are longer than max_length 20 and lose their end" in caplog.messages


def test_what_cannot_fit_is_refused_with_the_largest_part(hollow: Run, quiet_libraries: Path) -> None:
    changes = {"TrainingArguments": {"per_device_train_batch_size": 4_000_000}}
    said = refused(hollow, quiet_libraries, changes)
    assert said.startswith("memory: the run needs at least ")
    assert said.endswith("lower TrainingArguments.max_length or per_device_train_batch_size.")


def test_chat_data_without_a_chat_template_is_refused_and_a_given_template_helps(
    hollow: Run, quiet_libraries: Path
) -> None:
    (hollow.weights / "chat_template.jinja").unlink()
    said = refused(hollow, quiet_libraries, {})
    assert (
        "its tokenizer has no chat template, and the data is chat; name a template in ModelConfig.chat_template" in said
    )
    template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
    configure(hollow, {"ModelConfig": {"chat_template": template}})
    assert start(hollow, "--check").code == 0
    (hollow.folder / "t.jinja").write_text(template)
    configure(hollow, {"ModelConfig": {"chat_template": str(hollow.folder / "t.jinja")}})
    assert start(hollow, "--check").code == 0
    assert "cannot be read" in refused(hollow, quiet_libraries, {"ModelConfig": {"chat_template": "/nowhere.jinja"}})


@pytest.mark.parametrize(
    ("gone", "said"), [("config.json", "holds no config.json"), ("model.safetensors", "holds no weight files")]
)
def test_an_incomplete_folder_is_refused(gone: str, said: str, hollow: Run, quiet_libraries: Path) -> None:
    (hollow.weights / gone).unlink()
    assert said in refused(hollow, quiet_libraries, {})


def test_weights_that_cannot_be_loaded_fail_with_a_message(hollow: Run, quiet_libraries: Path) -> None:
    configure(hollow, {})
    assert start(hollow).code == 1
    assert quiet_libraries.read_text()
