"""The README of the model runtime: every requirement with tests that exist, every metric of the server and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model_runtime import contract

TOP = Path(__file__).resolve().parents[3]
README = (TOP / "model_runtime" / "README.md").read_text()
ROWS = re.findall(r"^\| ([STPA]\d+) \| (.+) \| (.+) \|$", README, re.MULTILINE)
IDS = [*(f"S{n}" for n in range(1, 14)), *(f"T{n}" for n in range(1, 8)), "P1", "A1"]
TESTS = {
    name
    for folder in ("test/model", "test/unit/model_runtime", "test/unit/kaito_controller/catalog")
    for file in (TOP / folder).rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
}


def test_every_requirement_has_its_row() -> None:
    assert [row[0] for row in ROWS] == IDS


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_requirement_is_shown_by_tests_that_exist(row: tuple[str, str, str]) -> None:
    named = set(re.findall(r"`(test_\w+)`", row[2]))
    assert named <= TESTS
    assert named


def test_the_container_contract_is_told() -> None:
    told = README + (TOP / "model_runtime" / "tune" / "README.md").read_text()
    stated = [value for name, value in vars(contract).items() if name.isupper()]
    words = {str(word) for value in stated for word in (value if isinstance(value, tuple) else (value,))}
    assert len(words) > 20
    assert {word for word in words if word not in told} == set()
    user = re.search(r"^USER (\d+):", (TOP / "model_runtime" / "Dockerfile").read_text(), re.MULTILINE)
    assert user is not None
    assert f"| user | {user[1]}, " in README


def test_every_metric_of_the_server_is_listed() -> None:
    source = (TOP / "model_runtime" / "serve" / "metrics.py").read_text()
    names = set(re.findall(r'"((?:vllm:|model_runtime_)\w+)"', source))
    assert len(names) > 10
    section = README.split("### Metrics", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"`((?:vllm:|model_runtime_)\w+)`", section)) == names
