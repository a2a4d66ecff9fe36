"""The tables of the package's README say what the code does, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller_runtime.settings import describe_settings
from kaito_controller.api import conditions
from kaito_controller.api.reasons import REASONS, Reason
from kaito_controller.settings import ENV_PREFIX, ControllerSettings
from kaito_controller.workspace.metrics import NAMES, PHASES

README = (Path(__file__).resolve().parents[4] / "kaito_controller" / "README.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")] for line in README.splitlines() if line.startswith("| ")
]


def row(first: str) -> list[str]:
    found = [cells for cells in ROWS if cells[0] == f"`{first}`"]
    assert len(found) == 1, f"{first}: {len(found)} rows"
    return found[0]


@pytest.mark.parametrize("reason", REASONS.values(), ids=str)
def test_reason_is_documented_with_cause_and_cure(reason: Reason) -> None:
    shown = ", ".join(reason.conditions)

    assert row(reason.name)[1:] == [reason.kind.value, shown, reason.cause, reason.cure]


@pytest.mark.parametrize("reason", REASONS.values(), ids=str)
def test_reason_belongs_to_known_conditions_and_fits_the_api(reason: Reason) -> None:
    assert set(reason.conditions) <= set(conditions.ALL)
    assert reason.name.isalnum()


def test_every_setting_is_documented() -> None:
    for setting in describe_settings(ControllerSettings, ENV_PREFIX):
        env = ", ".join(f"`{name}`" for name in setting.env)
        assert row(setting.flag)[1:] == [env, setting.default or "(none)", setting.description]


def test_every_metric_is_documented() -> None:
    for name, text in {**NAMES, **PHASES}.items():
        assert row(name)[1] == text


def test_nothing_is_documented_that_does_not_exist() -> None:
    flags = {setting.flag for setting in describe_settings(ControllerSettings, ENV_PREFIX)}
    known = {f"`{name}`" for name in {*REASONS, *NAMES, *PHASES, *flags}}

    assert {cells[0] for cells in ROWS if cells[0].startswith("`")} <= known
