"""The ConfigMap of tuning parameters: all errors together, path by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kaito_controller.api.tuning_config import KEY, read_tuning_config

TEMPLATES = Path(__file__).resolve().parents[4] / "config" / "tuning"
GOOD: dict[str, Any] = {
    "ModelConfig": {"torch_dtype": "bfloat16"},
    "QuantizationConfig": {"load_in_4bit": True},
    "LoraConfig": {"r": 8},
    "TrainingArguments": {"output_dir": "/mnt/results"},
    "DatasetConfig": {"train_test_split": 1},
    "DataCollator": {"mlm": False},
}


def data(**sections: Any) -> dict[str, str]:
    return {KEY: yaml.safe_dump({"training_config": {**GOOD, **sections}})}


def problems(text_or_data: Any, method: str = "qlora") -> list[str]:
    values = {KEY: text_or_data} if isinstance(text_or_data, str) else text_or_data
    return [str(violation) for violation in read_tuning_config(values, method)[1]]


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_shipped_defaults_suit_their_method_and_only_theirs(method: str) -> None:
    shipped = yaml.safe_load((TEMPLATES / f"{method}-params-template.yaml").read_text("utf-8"))["data"]

    config, violations = read_tuning_config(shipped, method)

    assert violations == []
    assert config.output_dir == "/mnt/results"
    assert config.load_in_4bit == (method == "qlora")
    assert config.sections["DataCollator"] == {"mlm": False}
    assert problems(shipped, "lora" if method == "qlora" else "qlora")


def test_everything_wrong_is_reported_at_once_with_its_path() -> None:
    found = problems(
        data(
            Surprise={},
            LoraConfig=[1],
            QuantizationConfig={"load_in_4bit": "yes", "load_in_8bit": 1},
            TrainingArguments={"output_dir": "/etc"},
            DatasetConfig={"train_test_split": 2},
        )
    )

    prefix = f"data[{KEY}].training_config"
    assert len(found) == 7
    for expected in (
        f'{prefix}: has the unknown section "Surprise"; use ModelConfig,',
        f"{prefix}.LoraConfig: must be a map",
        f'{prefix}.QuantizationConfig.load_in_4bit: must be true or false, not "yes"',
        f"{prefix}.QuantizationConfig.load_in_8bit: must be true or false",
        f"{prefix}.QuantizationConfig: must set load_in_4bit or load_in_8bit to true",
        f'{prefix}.TrainingArguments.output_dir: "/etc" must be',
        f"{prefix}.DatasetConfig.train_test_split:",
    ):
        assert any(message.startswith(expected) for message in found), (expected, found)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (None, "is missing; put the parameters under the key training_config.yaml"),
        ({}, "is missing"),
        ({KEY: None}, "is missing"),
        ({KEY: "a: ["}, "is no valid YAML"),
        ({KEY: ""}, "must hold a map with the sections"),
        ({KEY: "training_config: 3"}, "must hold a map with the sections"),
        ({KEY: "x: &a [1]\ntraining_config: {LoraConfig: {r: *a}}"}, "uses a YAML alias"),
        ({KEY: "training_config: {LoraConfig: " + "[" * 40 + "]" * 40 + "}"}, "is nested deeper than"),
        ({KEY: "[" * 5000}, "is "),
        ({KEY: "x" * 33_000}, "is longer than 32768 characters"),
        ({KEY: "training_config: {LoraConfig: {r: 0x" + "f" * 4000 + "}}"}, "holds a number of more than 300 digits"),
        ({KEY: "training_config: {LoraConfig: {r: 1" + ":1" * 3000 + "}}"}, "holds a number of more than 300 digits"),
        ({KEY: "training_config: {LoraConfig: {r: 2026-01-01}}"}, "LoraConfig.r: is a date, a set or bytes to YAML"),
        ({KEY: "training_config: {LoraConfig: {r: !!set {a}}}"}, "LoraConfig.r: is a date, a set or bytes to YAML"),
        ({KEY: "training_config: {LoraConfig: {r: [!!binary aGk=]}}"}, "LoraConfig.r: is a date, a set or bytes"),
        ({KEY: "training_config: {LoraConfig: {r: {1: a, b: c}}}"}, "LoraConfig.r: has the key"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(values: Any, sentence: str) -> None:
    found = problems(values)

    assert len(found) == 1
    assert sentence in found[0]
    assert len(found[0]) < 1000


def test_quantisation_must_agree_with_the_method() -> None:
    assert problems(data(QuantizationConfig={"load_in_4bit": True, "load_in_8bit": True}))
    assert problems(data(QuantizationConfig={"load_in_8bit": True})) == []
    assert problems(data(QuantizationConfig={"load_in_4bit": None}), "lora") == []
    assert "does not quantise" in problems(data(), "lora")[0]
    assert problems({KEY: yaml.safe_dump({"training_config": {"LoraConfig": {"r": 1}}})}, "lora") == []


@pytest.mark.parametrize(
    "path", ["/mnt", "/mnt/", "/mntx", "/mnt/../etc", "results", "", "/mnt/data", "/mnt/config/x", "/", 3, ["/mnt/x"]]
)
def test_an_output_folder_outside_its_place_is_refused(path: Any) -> None:
    assert problems(data(TrainingArguments={"output_dir": path}))


@pytest.mark.parametrize(
    ("path", "resolved"), [("/mnt/out", "/mnt/out"), ("/mnt/a/../b/", "/mnt/b"), (None, "/mnt/results")]
)
def test_an_output_folder_in_its_place_is_taken(path: str | None, resolved: str) -> None:
    config, violations = read_tuning_config(data(TrainingArguments={"output_dir": path}), "qlora")

    assert violations == []
    assert config.output_dir == resolved


@settings(max_examples=300)
@given(st.text(max_size=200), st.sampled_from(["lora", "qlora", ""]))
def test_no_text_crashes_it(text: str, method: str) -> None:
    assert all(len(message) <= 1000 for message in problems({KEY: f"training_config:\n  {text}"}, method))
    problems({KEY: text}, method)
