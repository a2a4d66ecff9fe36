"""The README of the package, as far as `make manifests` does not write it (a test compares what it writes with the code)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hack.generate.pages import ROWS
from kaito_controller.api import conditions
from kaito_controller.api.reasons import REASONS, Reason

README = (Path(__file__).resolve().parents[4] / "kaito_controller" / "README.md").read_text()
TABLES = ("controller-reasons", "controller-settings", "controller-metrics", "controller-phases")


@pytest.mark.parametrize("reason", REASONS.values(), ids=str)
def test_reason_belongs_to_known_conditions_and_fits_the_api(reason: Reason) -> None:
    assert set(reason.conditions) <= set(conditions.ALL)
    assert reason.name.isalnum()


@pytest.mark.parametrize("name", TABLES)
def test_every_reference_table_is_marked_for_the_generator(name: str) -> None:
    assert README.count(f"<!-- rows: {name} -->") == 1


def test_nothing_is_documented_that_does_not_exist() -> None:
    known = {row[0] for name in TABLES for row in ROWS[name]()}

    assert set(re.findall(r"^\| (`[^|]+`) \|", README, re.MULTILINE)) <= known
