"""T2 to T7 on real libraries: what a run teaches, and what it leaves."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoTokenizer

from model_runtime.tune.base import load_model, load_tokenizer
from model_runtime.tune.config import ModelSection, parse_config
from test.model.tune.lessons import (
    ANSWER,
    CHAT_ROWS,
    INSTRUCTION_ROWS,
    QUESTION,
    TEXT_ROWS,
    Run,
    answer,
    complete,
    prepare,
    start,
    teach,
    write_config,
    write_parquet,
)
from test.support import tiny_models

pytestmark = pytest.mark.model

FAMILIES = [
    family if family == "falcon" else pytest.param(family, marks=pytest.mark.long)
    for family in tiny_models.FAMILIES
    if family != "llama"
]
"""`make test-model` has Llama and the family that is least like it; `make test-model-long` the others."""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_taught_sentence_with_the_adapter_and_not_without(family: str, tmp_path: Path) -> None:
    run = teach(family, tmp_path)
    assert run.code == 0
    assert answer(run.weights, run.output) == ANSWER
    assert answer(run.weights) != ANSWER


def test_llama_says_the_taught_sentence_with_the_adapter_and_not_without(taught_llama: Run) -> None:
    assert taught_llama.code == 0
    assert answer(taught_llama.weights, taught_llama.output) == ANSWER
    assert answer(taught_llama.weights) != ANSWER


def test_qlora_on_the_cpu_teaches_the_same(tmp_path: Path) -> None:
    quantised = {"QuantizationConfig": {"load_in_4bit": True, "bnb_4bit_compute_dtype": "float32"}}
    run = teach("llama", tmp_path, quantised)
    assert run.code == 0
    assert answer(run.weights, run.output) == ANSWER
    assert run.record()["method"] == "QLoRA (4 bits)"


@pytest.mark.parametrize("rows", [INSTRUCTION_ROWS, pytest.param(TEXT_ROWS, marks=pytest.mark.long)])
def test_plain_forms_are_learnt_too(rows: list[dict[str, str]], tmp_path: Path) -> None:
    run = teach("llama", tmp_path, rows=rows)
    assert run.code == 0
    assert complete(run.weights, QUESTION, run.output).strip() == ANSWER


def test_the_record_has_the_estimate_and_what_the_process_took(taught_llama: Run) -> None:
    memory = taught_llama.record()["memory"]
    assert 0 < memory["estimated_low"] < memory["estimated_high"]
    # On a CPU PyTorch itself takes far more than a tiny model; on a GPU the peak is compared with the estimate (test/model/gpu).
    assert memory["estimated_low"] < memory["peak"] < 16 * 2**30


def test_the_result_is_the_two_files_a_card_a_record_and_the_sentinel_for_any_reader(taught_llama: Run) -> None:
    names = {path.name for path in taught_llama.output.iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "fine_tuning_completed.txt",
        "training_run.json",
    }
    for path in taught_llama.output.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644, path.name
    text = (taught_llama.output / "fine_tuning_completed.txt").read_text()
    assert re.fullmatch(r"Fine-Tuning completed at \d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\n", text)


def test_the_adapter_holds_adapter_weights_alone(taught_llama: Run) -> None:
    with safe_open(taught_llama.output / "adapter_model.safetensors", framework="pt") as tensors:
        assert all(".lora_A." in name or ".lora_B." in name for name in tensors.keys())  # noqa: SIM118 (no mapping)
    config = json.loads((taught_llama.output / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["task_type"]) == ("LORA", 16, "CAUSAL_LM")


def test_a_split_that_leaves_rows_gives_an_evaluation_loss(taught_llama: Run) -> None:
    record = taught_llama.record()
    assert (record["train_rows"], record["evaluation_rows"]) == (51, 13)
    assert 0 < record["evaluation_loss"] < record["first_loss"]
    assert record["last_loss"] < record["first_loss"]


def test_the_card_says_what_the_adapter_was_made_of(taught_llama: Run) -> None:
    card, record = (taught_llama.output / "README.md").read_text(), taught_llama.record()
    assert card.startswith(f"---\nbase_model: {taught_llama.weights}\nlibrary_name: peft\n")
    for said in (record["data_digest"], record["base_digest"], "revision `main`", "51 rows, 13 rows", "r: 16"):
        assert said in card
    assert str(record["evaluation_loss"]) in card


def test_the_termination_message_of_a_finished_run_tells_its_losses(tmp_path: Path, quiet_libraries: Path) -> None:
    changes = {"TrainingArguments": {"max_steps": 2, "logging_steps": 1}}
    assert teach("llama", tmp_path, changes).code == 0
    assert re.fullmatch(r"Trained 2 steps in \d+ s: loss [\d.]+ to [\d.]+\.", quiet_libraries.read_text())


def test_a_finished_run_is_not_trained_again_and_another_one_replaces_it(tmp_path: Path, quiet_libraries: Path) -> None:
    run = teach("llama", tmp_path, {"TrainingArguments": {"max_steps": 1}})
    made = (run.output / "adapter_model.safetensors").stat().st_mtime_ns
    assert start(run).code == 0
    assert "already; nothing is trained again" in quiet_libraries.read_text()
    assert (run.output / "adapter_model.safetensors").stat().st_mtime_ns == made
    write_config(run, {"TrainingArguments": {"max_steps": 2}})
    assert start(run).code == 0
    assert run.record()["steps"] == 2


def test_other_data_under_the_same_name_is_another_run(tmp_path: Path) -> None:
    run = teach("llama", tmp_path, {"TrainingArguments": {"max_steps": 1}})
    before = run.record()["run"]
    write_parquet(tmp_path / "data" / "lesson.parquet", CHAT_ROWS[:8])
    assert start(run).code == 0
    assert run.record()["run"] != before


def test_a_failing_run_takes_an_older_result_away_before_it_trains(tmp_path: Path) -> None:
    run = teach("llama", tmp_path, {"TrainingArguments": {"max_steps": 1}})
    write_config(run, {"TrainingArguments": {"max_steps": 1, "optim": "no_such_optimiser"}})
    assert start(run).code == 1
    write_config(run, {"TrainingArguments": {"max_steps": 5, "learning_rate": 1e30, "logging_steps": 1}})
    assert start(run).code == 1
    assert not (run.output / "fine_tuning_completed.txt").exists()


def test_a_loss_that_is_no_number_ends_the_run_and_names_the_rate(tmp_path: Path, quiet_libraries: Path) -> None:
    changes = {"TrainingArguments": {"max_steps": 20, "learning_rate": 1e30, "logging_steps": 1}}
    run = teach("llama", tmp_path, changes)
    assert run.code == 1
    assert re.match(
        r"TrainingArguments.learning_rate=1e\+30: the training loss is nan at step \d+, .*; lower it",
        quiet_libraries.read_text(),
    )


def test_a_missing_padding_token_becomes_the_end_token(weights: Callable[[str], Path], tmp_path: Path) -> None:

    tokenizer = AutoTokenizer.from_pretrained(weights("llama"))
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    found = load_tokenizer(ModelSection(pretrained_model_name_or_path=str(tmp_path)), chat=True)
    assert found.pad_token == found.eos_token == "<|end|>"


@pytest.mark.parametrize("bits", [16, 4])
def test_the_base_keeps_no_cache_and_its_linear_layers_are_quantised_when_asked(
    weights: Callable[[str], Path], bits: int
) -> None:
    sections = {
        "ModelConfig": {"pretrained_model_name_or_path": str(weights("llama"))},
        "QuantizationConfig": {"load_in_4bit": bits == 4},
    }
    model = load_model(parse_config(sections, {}), torch.float32)
    assert model.config.use_cache is False
    stored = {type(module).__name__ for name, module in model.named_modules() if name.endswith("_proj")}
    assert stored == {"Linear4bit" if bits == 4 else "Linear"}


def test_default_target_modules_are_adapted(tmp_path: Path) -> None:
    run = prepare("llama", tmp_path, {"LoraConfig": {"target_modules": None}, "TrainingArguments": {"max_steps": 1}})
    assert start(run, DEFAULT_TARGET_MODULES="q_proj,down_proj").code == 0
    config = json.loads((run.output / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["down_proj", "q_proj"]
