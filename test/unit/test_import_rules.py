"""Every rule about imports that the documentation states is checked by something, and every contract stands for a rule."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (
    (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("## What may import what")[2].partition("\n## ")[0]
)
RULES = dict(re.findall(r"^\| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)[1:])
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
CONTRACTS = {contract["name"]: contract for contract in SETTINGS["importlinter"]["contracts"]}
PURE = re.compile(r"\b(Pure|PURE)\b")
PURITY = [contract for name, contract in CONTRACTS.items() if name.startswith("Pure modules of the provisioner")]


def test_the_contracts_are_those_that_the_rules_name() -> None:
    named = [name for checks in RULES.values() for name in re.findall(r"\*([^*]+)\*", checks)]

    assert len(RULES) >= 13
    assert sorted(named) == sorted(CONTRACTS)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_checked_by_something_that_is_there(rule: str) -> None:
    checks = RULES[rule].split("; ")

    assert checks
    assert all((ROOT / path).is_file() for path in re.findall(r"`(test/[^`]+)`", RULES[rule]))


def test_the_clock_is_banned_by_the_linter() -> None:
    assert {"time.time", "time.monotonic", "datetime.datetime.now"} <= SETTINGS["ruff"]["lint"]["flake8-tidy-imports"][
        "banned-api"
    ].keys()


@pytest.mark.parametrize("contract", PURITY, ids=lambda contract: contract["name"])
def test_a_module_of_the_provisioner_that_says_that_it_is_pure_is_held_to_it(contract: dict[str, list[str]]) -> None:
    claims = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for folder in ("machine", "garbage")
        for path in sorted((ROOT / "gpu_provisioner" / folder).glob("*.py"))
        if PURE.search(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    ]

    assert len(claims) >= 10
    assert [name for name in claims if name not in contract["source_modules"]] == []
