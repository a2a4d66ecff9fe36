"""The tables of the README say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

import gpu_provisioner
from controller_runtime.metrics.registry import new_registry
from controller_runtime.settings import OperatorSettings, describe_settings
from gpu_provisioner.api import reasons
from gpu_provisioner.machine.transitions import EVENTS
from gpu_provisioner.metrics import ProvisionerMetrics
from gpu_provisioner.settings import ENV_PREFIX, ProvisionerSettings

README = Path(gpu_provisioner.__file__).parent / "README.md"


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def settings_rows() -> list[str]:
    shared = set(OperatorSettings.model_fields)
    return [
        row(f"`{s.flag}`", ", ".join(f"`{name}`" for name in s.env), s.default, s.description)
        for s in describe_settings(ProvisionerSettings, ENV_PREFIX)
        if s.field not in shared
    ]


def reason_rows() -> list[str]:
    return [row(f"`{r.reason}`", f"`{r.condition}`", r.cause, r.cure) for r in reasons.REASONS]


def event_rows() -> list[str]:
    return [row(kind, f"`{reason}`", meaning) for kind, reason, meaning in EVENTS]


def metric_rows() -> list[str]:
    registry = new_registry(process=False)
    ProvisionerMetrics(registry)
    return [
        row(
            f"`{family.name}{'_total' if family.type == 'counter' else ''}`",
            family.type,
            family.documentation,
        )
        for family in registry.collect()
    ]


@pytest.mark.parametrize("rows", [settings_rows, reason_rows, event_rows, metric_rows])
def test_every_row_is_in_the_readme_and_none_is_made_up(rows: object) -> None:
    wanted = rows()  # type: ignore[operator]
    lines = README.read_text().splitlines()
    start = lines.index(wanted[0])
    assert lines[start : start + len(wanted)] == wanted
    assert not "".join(lines[start + len(wanted) :][:1]).startswith("|")


def test_every_reason_that_the_code_can_give_has_a_row() -> None:
    constants = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert constants == {entry.reason for entry in reasons.REASONS}
