"""The table of situations beside the end-to-end tests names each of them, and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "e2e" / "kaito_controller"


def test_every_situation_names_a_test_and_every_test_has_a_situation() -> None:
    named = re.findall(r"^\|.*\| `(test_\w+\.py::test_\w+)` \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)

    written = [
        f"{path.name}::{node.name}"
        for path in FOLDER.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert sorted(named) == sorted(written)
