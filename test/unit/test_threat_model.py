"""The table of attacks in the documentation names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "threat-model.md"


def test_every_attack_names_a_test_that_exists() -> None:
    table = PAGE.read_text().partition("## What was attacked")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    named = re.findall(r"`(test/[\w/]+\.py)::(test_\w+)` \|$", table, re.MULTILINE)

    assert len(rows) == len(named) > 20
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"
