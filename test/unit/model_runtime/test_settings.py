"""Flags, aliases, environment and file, and which of them counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from model_runtime.errors import UserError
from model_runtime.serve.settings import SHARED, ServeSettings, parse

TOP = Path(__file__).resolve().parents[3]


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "inference_config.yaml"
    file.write_text("vllm: {max-num-seqs: 3, max-model-len: 30, swap-space: 4}\nclient_timeout_s: 7\n")
    argv = ["--max-num-seqs=1", f"--config={file}"]
    parsed = parse(argv, {"MODEL_RUNTIME_MAX_NUM_SEQS": "2", "MODEL_RUNTIME_MAX_MODEL_LEN": "20"})
    assert (parsed.settings.max_num_seqs, parsed.settings.max_model_len, parsed.settings.client_timeout_s) == (1, 20, 7)
    assert parsed.vllm == {"max-num-seqs": 3, "max-model-len": 30, "swap-space": 4}


def test_flags_of_published_presets_mean_what_they_did() -> None:
    argv = [
        "--torch_dtype=bfloat16",
        "--pipeline",
        "conversational",
        "--trust_remote_code",
        "--pretrained_model_name_or_path=/w",
    ]
    settings = parse(argv, {}).settings
    assert (settings.dtype, settings.pipeline, settings.trust_remote_code, settings.weights) == (
        "bfloat16",
        "conversational",
        True,
        "/w",
    )


def test_unknown_flags_are_listed() -> None:
    assert parse(["--cache_dir=/x", "--force_download"], {}).ignored == ("--cache_dir", "--force_download")


def test_local_rank_moves_the_port() -> None:
    assert parse([], {"LOCAL_RANK": "2"}).settings.port == 5002


def test_a_wrong_value_is_told_with_its_meaning() -> None:
    with pytest.raises(UserError, match=r'--max-body-bytes="0": .*; it means: Largest request body'):
        parse(["--max-body-bytes=0"], {})


def test_the_readme_lists_every_flag_with_default_and_meaning() -> None:
    assert flag_table() in (TOP / "model_runtime" / "README.md").read_text()


def test_the_readme_lists_the_keys_of_the_configuration_file(tmp_path: Path) -> None:
    section = (TOP / "model_runtime" / "README.md").read_text().split("| key of `--config` |", 1)[1].split("\n\n", 1)[0]
    listed = set(re.findall(r"`([\w.-]+)`", section))
    ours, unused = {"client_timeout_s"}, {"max_probe_steps", "kv_cache_cpu_memory_utilization"}
    assert listed - {"config"} == {"vllm", *(f"vllm.{key}" for key in SHARED), *ours, *unused}
    file = tmp_path / "inference_config.yaml"
    defaults = ServeSettings().model_dump(mode="json", exclude={"config"}, exclude_none=True)
    file.write_text(json.dumps({**defaults, "vllm": {}, **dict.fromkeys(unused, 1)}))
    parsed = parse([f"--config={file}"], {})
    assert parsed.settings.model_dump(mode="json", exclude={"config"}, exclude_none=True) == defaults
    assert parsed.ignored == tuple(f"{key} in --config" for key in sorted(unused))


def flag_table() -> str:
    """The README's table, from the settings; print it with `python -m test.unit.model_runtime.test_settings`."""
    rows = [
        f"| `--{name.replace('_', '-')}` | {_shown(field.default)} | {field.description} |"
        for name, field in ServeSettings.model_fields.items()
    ]
    return "\n".join(["| flag | default | meaning |", "|---|---|---|", *rows])


def _shown(default: object) -> str:
    return "none" if default in (None, "") else f"`{str(default).lower() if isinstance(default, bool) else default}`"


if __name__ == "__main__":
    print(flag_table())
