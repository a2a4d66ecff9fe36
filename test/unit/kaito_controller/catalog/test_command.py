"""`kaito-catalog add` writes the entry that somebody would write by hand, or says why it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kaito_controller.catalog.command import main
from kaito_controller.catalog.data_files import preset_from
from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.loader import load_catalog

QWEN3_8B = {
    "architectures": ["Qwen3ForCausalLM"], "head_dim": 128, "hidden_size": 4096, "intermediate_size": 12288,
    "max_position_embeddings": 40960, "model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36,
    "num_key_value_heads": 8, "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 151936,
}  # fmt: skip
GPT_OSS_20B = {
    "architectures": ["GptOssForCausalLM"], "head_dim": 64, "hidden_size": 2880, "intermediate_size": 2880, "model_type": "gpt_oss",
    "layer_types": ["sliding_attention", "full_attention"] * 12, "max_position_embeddings": 131072, "num_attention_heads": 64,
    "num_hidden_layers": 24, "num_key_value_heads": 8, "num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128,
    "tie_word_embeddings": False, "vocab_size": 201088, "quantization_config": {"quant_method": "mxfp4"},
}  # fmt: skip
DEEPSEEK_V3 = {
    "architectures": ["DeepseekV3ForCausalLM"], "hidden_size": 7168, "intermediate_size": 18432, "kv_lora_rank": 512,
    "first_k_dense_replace": 3, "max_position_embeddings": 163840, "model_type": "deepseek_v3", "moe_intermediate_size": 2048,
    "n_routed_experts": 256, "n_shared_experts": 1, "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61,
    "num_key_value_heads": 128, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "vocab_size": 129280, "quantization_config": {"quant_method": "fp8"},
}  # fmt: skip


def add(tmp_path: Path, repository: str, config: Any, total: int | None = None, *flags: str) -> int:
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    arguments = ["add", repository, "--config", str(tmp_path / "config.json"), *flags]
    if total is not None:
        (tmp_path / "index.json").write_text(json.dumps({"metadata": {"total_size": total}}), "utf-8")
        arguments += ["--index", str(tmp_path / "index.json")]
    return main(arguments)


@pytest.mark.parametrize(
    ("repository", "config", "total", "shipped"),
    [
        ("Qwen/Qwen3-8B", QWEN3_8B, 16_381_470_720, "qwen3-8b"),
        ("openai/gpt-oss-20b", GPT_OSS_20B, 13_761_264_768, "gpt-oss-20b"),
        ("deepseek-ai/DeepSeek-V3-0324", DEEPSEEK_V3, 688_586_727_753, "deepseek-v3-0324"),
    ],
)
def test_the_entry_from_a_models_files_is_the_shipped_one(
    repository: str,
    config: dict[str, Any],
    total: int,
    shipped: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert add(tmp_path, repository, config, total) == 0
    made = preset_from(yaml.safe_load(capsys.readouterr().out)[0], "made")
    known = load_catalog().presets[shipped]

    assert made.name == shipped
    assert made.weights.repository == repository
    assert made.shape is not None
    assert known.shape is not None
    for field in (
        "layers",
        "hidden",
        "heads",
        "attention",
        "experts",
        "intermediate",
        "vocabulary",
        "context",
        "tied",
        "quantization",
    ):
        assert getattr(made.shape, field) == getattr(known.shape, field), field
    assert made.shape.file_bytes == known.shape.file_bytes


def test_the_config_map_adds_the_model_to_a_running_controller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(tmp_path, "me/my-qwen", QWEN3_8B, None, "--config-map", "--name", "mine") == 0
    made = yaml.safe_load(capsys.readouterr().out)

    catalog, errors = extend(load_catalog(), made["data"])

    assert errors == []
    found = catalog.preset("me/my-qwen")
    assert found is not None
    assert found.name == "mine"
    assert made["data"]["alias.me__my-qwen"] == "mine"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architectures": ["MambaForCausalLM"]}, 'architectures: "MambaForCausalLM" is not known here'),
        ({"architectures": []}, "architectures:"),
        ({"num_hidden_layers": None}, "num_hidden_layers: None is no number above 0"),
        ({"layer_types": ["linear_attention"] * 36}, "layer_types: linear_attention keep a state"),
        ({"quantization_config": {"quant_method": "awq"}}, "--index is missing"),
        ({"num_key_value_heads": 5}, "must be a multiple of kvHeads"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    change: dict[str, Any], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(tmp_path, "me/mine", {**QWEN3_8B, **change}) == 1

    told = capsys.readouterr()
    assert sentence in told.err
    assert told.out == ""


def test_a_file_that_is_no_json_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text("<html>", "utf-8")

    assert main(["add", "me/mine", "--config", str(tmp_path / "config.json")]) == 1
    assert "config.json: cannot be read as JSON" in capsys.readouterr().err


def test_a_revision_that_may_move_is_told_and_a_commit_is_pinned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(tmp_path, "Qwen/Qwen3-8B", QWEN3_8B) == 0
    assert "revision main may move; give the commit" in capsys.readouterr().err

    commit = "b968826d9c46dd6066d109eabc6255188de91218"
    assert add(tmp_path, "Qwen/Qwen3-8B", QWEN3_8B, None, "--revision", commit) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert yaml.safe_load(out)[0]["hub"]["revision"] == commit
