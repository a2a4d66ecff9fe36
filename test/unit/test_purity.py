"""What import contracts cannot say: pure code takes from the clock module what reads and writes stamps, and nothing that tells the time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PURE = ("api", "catalog", "workloads", "workspace/state", "workspace/decide", "workspace/conditions")
STAMPS = {"rfc3339", "rfc3339_micro", "parse_rfc3339"}
READS_THE_WORLD = {"now", "utcnow", "today", "getenv", "environ", "monotonic", "open", "urandom"}
FILES = [path for folder in PURE for path in sorted((ROOT / "kaito_controller" / folder).rglob("*.py"))]
MAY_OPEN = {"loader.py", "plain_yaml.py"}
"""The catalogue's files are part of the package, read once."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pure_module_takes_only_stamps_from_the_clock_and_asks_nothing_of_the_world(path: Path) -> None:
    tree = ast.parse(path.read_text())
    of_the_clock = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "controller_runtime.clock"
        for alias in node.names
    }
    called = {
        getattr(node.func, "attr", getattr(node.func, "id", ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }

    assert of_the_clock <= STAMPS
    assert not called & READS_THE_WORLD or path.name in MAY_OPEN
