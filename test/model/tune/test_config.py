"""T2, T3: what the training configuration may say, and how a mistake in it is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from model_runtime import contract
from model_runtime.errors import UserError
from model_runtime.tune.config import TrainingConfig, config_path, parse_config, read_config

pytestmark = pytest.mark.model

TOP = Path(__file__).resolve().parents[3]


def refusal(sections: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        parse_config(sections, {})
    return str(caught.value)


def test_missing_sections_are_all_defaults() -> None:
    found = parse_config({}, {})
    assert found.model.pretrained_model_name_or_path == "/workspace/tfs/weights"
    assert found.model.local_files_only is True
    assert found.training["num_train_epochs"] == 3
    assert found.training["per_device_train_batch_size"] == 1
    assert found.training["save_strategy"] == "epoch"
    assert str(found.output) == "/mnt/output"
    assert found.dataset.train_test_split == 0.8
    assert found.dataset.shuffle_dataset is True
    assert found.quantization.bits == 16


@pytest.mark.parametrize(
    ("section", "key", "suggestion"),
    [
        ("TrainingArguments", "num_train_epoch", "num_train_epochs"),
        ("LoraConfig", "lora_alfa", "lora_alpha"),
        ("DatasetConfig", "shuffel_dataset", "shuffle_dataset"),
        ("ModelConfig", "torch_dtyp", "torch_dtype"),
        ("QuantizationConfig", "load_in_4bits", "load_in_4bit"),
        ("DataCollator", "mlmm", "mlm"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(section: str, key: str, suggestion: str) -> None:
    said = refusal({section: {key: 1}})
    assert f"{section} has the unknown key {key} (did you mean {suggestion}?)" in said


def test_an_unknown_section_is_named() -> None:
    assert "has the unknown section LoRAConfig (did you mean LoraConfig?)" in refusal({"LoRAConfig": {}})


def test_all_mistakes_are_told_at_once() -> None:
    said = refusal({"LoraConfig": {"r": "many"}, "DatasetConfig": {"train_test_split": 1.5}, "TrainingArguments": []})
    assert "LoraConfig.r is 'many' and should be a valid integer" in said
    assert "DatasetConfig.train_test_split is 1.5 and should be less than or equal to 1" in said
    assert "TrainingArguments is [], not a map of settings" in said


def test_both_quantisations_are_refused() -> None:
    said = refusal({"QuantizationConfig": {"load_in_4bit": True, "load_in_8bit": True}})
    assert "both load_in_4bit and load_in_8bit" in said


def test_a_rate_that_yaml_takes_for_text_is_a_number() -> None:
    found = parse_config(yaml.safe_load("TrainingArguments: {learning_rate: 1e-4, warmup_steps: 10}"), {})
    assert found.training["learning_rate"] == 1e-4
    assert found.training["warmup_steps"] == 10


def test_null_means_the_default() -> None:
    assert parse_config({"TrainingArguments": {"save_strategy": None}}, {}).training["save_strategy"] == "epoch"


def test_four_bits_default_to_the_qlora_recipe() -> None:
    section = parse_config({"QuantizationConfig": {"load_in_4bit": True}}, {}).quantization
    assert section.bits == 4
    assert (section.bnb_4bit_quant_type, section.bnb_4bit_use_double_quant) == ("nf4", True)


def test_default_target_modules_stand_in_for_missing_ones_only() -> None:
    environment = {"DEFAULT_TARGET_MODULES": "q_proj, v_proj"}
    assert parse_config({}, environment).lora["target_modules"] == ["q_proj", "v_proj"]
    assert parse_config({"LoraConfig": {"target_modules": ["o_proj"]}}, environment).lora["target_modules"] == [
        "o_proj"
    ]
    assert parse_config({"LoraConfig": {"target_modules": None}}, environment).lora["target_modules"] == [
        "q_proj",
        "v_proj",
    ]
    assert "target_modules" not in parse_config({}, {}).lora


def test_the_file_is_where_the_variable_says() -> None:
    assert config_path({}) == Path("/mnt/config/training_config.yaml")
    assert config_path({"YAML_FILE_PATH": "/etc/other.yaml"}) == Path("/etc/other.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "is no YAML"),
        ("other: {}", "has no map training_config"),
        ("training_config: 3", "has no map training_config"),
        ("- 1", "has no map training_config"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "training_config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        read_config(path, {})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing.yaml.*cannot be read.*YAML_FILE_PATH"):
        read_config(tmp_path / "nothing.yaml", {})


def test_the_operators_default_configurations_are_accepted() -> None:
    """The ConfigMaps that ship with the operator, word by word."""
    maps = [
        document
        for document in yaml.safe_load_all((TOP / "manifests" / "install.yaml").read_text())
        if document and document["kind"] == "ConfigMap" and "training_config.yaml" in (document.get("data") or {})
    ]
    assert {found["metadata"]["name"] for found in maps} == {"lora-params-template", "qlora-params-template"}
    for found in maps:
        root = yaml.safe_load(found["data"]["training_config.yaml"])[contract.TRAINING_CONFIG_ROOT]
        assert isinstance(parse_config(root, {}), TrainingConfig)
