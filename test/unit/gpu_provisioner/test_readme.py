"""The README of the package, as far as `make manifests` does not write it (a test compares what it writes with the code)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gpu_provisioner
from gpu_provisioner.api import reasons

ROOT = Path(gpu_provisioner.__file__).parents[1]
README = (ROOT / "gpu_provisioner" / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["provisioner-settings", "provisioner-reasons", "provisioner-events", "provisioner-metrics"]
)
def test_every_reference_table_is_marked_for_the_generator(name: str) -> None:
    assert README.count(f"<!-- rows: {name} -->") == 1


def test_every_reason_that_the_code_can_give_has_a_row() -> None:
    constants = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert constants == {entry.reason for entry in reasons.REASONS}


def test_the_test_of_each_way_to_leave_something_billable_exists() -> None:
    table = README.split("| how | what happens | test |")[1].split("\n\n")[0]
    named = re.findall(r"`(test_\w+)` \|$", table, re.MULTILINE)
    there = {
        name for path in ROOT.glob("test/**/test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert len(named) == len(table.strip().splitlines()) - 1
    assert set(named) <= there
