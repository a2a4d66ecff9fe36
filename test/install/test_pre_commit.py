"""The hooks of pre-commit are commands that `make setup` or the tree brings, so that a commit needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def test_every_hook_is_local_and_its_program_is_there() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    programs = [ROOT / hook["entry"].split()[0] for hook in repository["hooks"]]
    tools = Path(sys.executable).parent

    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    missing = [p for p in programs if not (tools / p.name if p.parent.name == "bin" else p).is_file()]
    assert missing == []
