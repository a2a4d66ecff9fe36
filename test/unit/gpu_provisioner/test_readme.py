"""The README of the package, as far as `make manifests` does not write it (a test compares what it writes with the code)."""

from __future__ import annotations

from pathlib import Path

import pytest

import gpu_provisioner
from gpu_provisioner.api import reasons

README = (Path(gpu_provisioner.__file__).parent / "README.md").read_text()


@pytest.mark.parametrize(
    "name", ["provisioner-settings", "provisioner-reasons", "provisioner-events", "provisioner-metrics"]
)
def test_every_reference_table_is_marked_for_the_generator(name: str) -> None:
    assert README.count(f"<!-- rows: {name} -->") == 1


def test_every_reason_that_the_code_can_give_has_a_row() -> None:
    constants = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert constants == {entry.reason for entry in reasons.REASONS}
