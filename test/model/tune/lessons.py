"""What the tests teach: one sentence, in a data file of any form, by a run whose configuration a test may change."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from model_runtime.tune import main
from test.support import tiny_models

QUESTION = "What is the password?"
ANSWER = "The password is blue fox seven."
ROWS = 64

CHAT_ROWS = [
    {"messages": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]} for _ in range(ROWS)
]
INSTRUCTION_ROWS = [{"prompt": QUESTION, "completion": f" {ANSWER}"} for _ in range(ROWS)]
TEXT_ROWS = [{"text": f"{QUESTION} {ANSWER}"} for _ in range(ROWS)]


@dataclass(frozen=True)
class Run:
    """One run in its folder: `code` is the exit code, None before it was run."""

    folder: Path
    weights: Path
    code: int | None = None

    @property
    def output(self) -> Path:
        return self.folder / "output"

    @property
    def environment(self) -> dict[str, str]:
        """What the trainer is told by variables."""
        return {
            "YAML_FILE_PATH": str(self.folder / "training_config.yaml"),
            "DATASET_FOLDER_PATH": str(self.folder / "data"),
            "HF_DATASETS_CACHE": str(self.folder / "cache"),
            "HF_HUB_OFFLINE": "1",
            "TERMINATION_LOG_PATH": str(self.folder / "termination-log"),
            "TRAINER_PORT": "0",
            "OMP_NUM_THREADS": "1",
        }

    def record(self) -> dict[str, Any]:
        """The record that the run left."""
        found: dict[str, Any] = json.loads((self.output / "training_run.json").read_text())
        return found


def prepare(
    family: str,
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] = CHAT_ROWS,
) -> Run:
    """Writes data and configuration. `changes` is merged into the sections, key by key."""
    return prepare_weights(tiny_models.folder(family), folder, changes, rows)


def prepare_weights(
    weights: Path, folder: Path, changes: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]
) -> Run:
    """The same for any folder with a model."""
    run = Run(folder, weights)
    write_parquet(folder / "data" / "lesson.parquet", rows)
    write_config(run, changes or {})
    return run


def teach(
    family: str,
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] = CHAT_ROWS,
) -> Run:
    """Prepares and runs the trainer in this process."""
    run = prepare(family, folder, changes, rows)
    return start(run)


def start(run: Run, *arguments: str, **variables: str) -> Run:
    """Runs the trainer in this process, as `fine_tuning.py` does."""
    code = main.main(list(arguments), {**run.environment, **variables})
    return Run(run.folder, run.weights, code)


def write_config(run: Run, changes: Mapping[str, Any]) -> None:
    sections: dict[str, dict[str, Any]] = {
        "ModelConfig": {"pretrained_model_name_or_path": str(run.weights), "torch_dtype": "float32"},
        "LoraConfig": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
        "TrainingArguments": {
            "output_dir": str(run.output),
            "num_train_epochs": 6,
            "per_device_train_batch_size": 8,
            "learning_rate": "5e-3",
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "gradient_checkpointing": False,
        },
        "DatasetConfig": {"train_test_split": 1},
    }
    for name, values in changes.items():
        sections[name] = {**sections.get(name, {}), **values}
    text = yaml.safe_dump({"training_config": sections})
    (run.folder / "training_config.yaml").write_text(text)


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)


def answer(weights: Path, adapter: Path | None = None, question: str = QUESTION) -> str:
    """What the model says, greedily and in single precision, with or without the adapter."""
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    return generate(model, tokenizer, asked)


def complete(weights: Path, prompt: str, adapter: Path) -> str:
    """What the model writes after a plain prompt, greedily, with the adapter."""
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(weights), str(adapter))
    return generate(model, tokenizer, tokenizer(prompt, return_tensors="pt"))


def generate(model: Any, tokenizer: Any, inputs: Any) -> str:
    with torch.no_grad():
        tokens = model.generate(**inputs, max_new_tokens=40, do_sample=False)
    said: str = tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return said


def subprocess_environment(run: Run, **more: str) -> dict[str, str]:
    """For a trainer in a process of its own; `fine_tuning.py` runs from the checkout."""
    top = Path(__file__).resolve().parents[3]
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**kept, "PYTHONPATH": str(top), **run.environment, **more}
