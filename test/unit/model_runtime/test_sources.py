"""S6, S7: where the weights of a start come from, and which adapters are mounted at which strengths."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from model_runtime.adapters.found import find
from model_runtime.errors import UserError
from model_runtime.serve.settings import parse
from model_runtime.weights import progress
from model_runtime.weights.progress import MIB, Progress
from model_runtime.weights.source import Source, parse_source
from test.support.processes import wait_until


@pytest.mark.parametrize(
    ("flags", "source", "name"),
    [
        ([], Source("folder", "/workspace/tfs/weights"), "weights"),
        (["--weights=/models/phi-3-mini/weights"], Source("folder", "/models/phi-3-mini/weights"), "phi-3-mini"),
        (["--weights=owner/name"], Source("folder", "owner/name"), "name"),
        (["--weights=hf://owner/name"], Source("hub", "owner/name"), "name"),
        (["--weights=hf://owner/name@abc", "--revision=def"], Source("hub", "owner/name", "abc"), "name"),
        (["--weights=hf://owner/name", "--revision=def"], Source("hub", "owner/name", "def"), "name"),
        (
            ["--pretrained_model_name_or_path=owner/name", "--allow_remote_files", "--revision=def"],
            Source("hub", "owner/name", "def"),
            "name",
        ),
        (["--weights=/w", "--allow-remote-files"], Source("folder", "/w"), "w"),
        (["--weights=oci://r.example.com:5000/a/phi:1"], Source("oci", "oci://r.example.com:5000/a/phi:1"), "phi"),
    ],
)
def test_the_place_and_the_name_that_follows_from_it(flags: list[str], source: Source, name: str) -> None:
    found = parse_source(parse(flags, {}).settings)
    assert (found, found.model_name) == (source, name)


def test_progress_is_in_the_log_and_the_gauges_while_files_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "PERIOD_S", 0.001)
    totals: list[float] = []
    fetched: list[float] = []
    with caplog.at_level(logging.INFO), Progress(totals.append, fetched.append).watching(tmp_path, 40 * MIB):
        for number in range(3):
            (tmp_path / f"{number}.safetensors").write_bytes(bytes(10 * MIB))
            wait_until(lambda size=10 * MIB * (number + 1): size in fetched, 20, "the size to be seen")
    assert totals == [40 * MIB]
    assert fetched[-1] == 30 * MIB
    assert {f"weights: {mib} of 40 MiB" for mib in (10, 20, 30)} <= set(caplog.messages)
    assert len(caplog.messages) <= progress.LINES + 1


def adapter(root: Path, name: str, **more: Any) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8, **more}))
    (root / name / "adapter_model.safetensors").touch()


def test_without_strengths_each_adapter_is_a_name(tmp_path: Path) -> None:
    for name in ("style", "facts"):
        adapter(tmp_path, name)
    (tmp_path / "empty").mkdir()
    found = find(tmp_path, {"other": "0.5"})
    assert [one.name for one in found.listed] == ["facts", "style"]
    assert not found.combined
    assert find(tmp_path / "absent", {}).listed == ()


def test_one_strength_combines_all_and_what_is_not_given_is_one(tmp_path: Path) -> None:
    for name in ("style", "facts"):
        adapter(tmp_path, name)
    found = find(tmp_path, {"style": "0.25"})
    assert found.combined
    assert found.strengths == [1.0, 0.25]
    assert found.describe() == "adapters combined into one, always active: facts at 1, style at 0.25"


def test_what_is_no_adapter_of_this_kind_is_refused(tmp_path: Path) -> None:
    adapter(tmp_path, "a", peft_type="IA3")
    with pytest.raises(UserError, match=r'adapter a="IA3": is no LoRA adapter; train with LoRA or QLoRA'):
        find(tmp_path, {})
    (tmp_path / "a" / "adapter_config.json").write_text("{")
    with pytest.raises(UserError, match=r"has an unreadable adapter_config.json"):
        find(tmp_path, {})
    (tmp_path / "a" / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no adapter_model.safetensors; mount the two files that a tuning run"):
        find(tmp_path, {})
