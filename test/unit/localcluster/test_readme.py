"""The README's tables say what the code has: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hack.localcluster.__main__ import build_parser
from hack.localcluster.actors.podfaults import PodFaultKind
from hack.localcluster.cloud.market import Stock
from hack.localcluster.cloud.model import Outcome
from hack.localcluster.faults import FaultKind

README = Path(__file__).parents[3] / "hack" / "localcluster" / "README.md"


def table(header: str) -> set[str]:
    """The code words in the first column of the table with that header."""
    lines = README.read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {header} |"))
    words: set[str] = set()
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        words |= set(re.findall(r"`([^`]+)`", line.split("|")[1]))
    return words


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("fault", {kind.value for kind in FaultKind}),
        ("outcome", {outcome.value for outcome in Outcome}),
        ("stock", {stock.value for stock in Stock}),
    ],
)
def test_table_lists_every_value(header: str, names: set[str]) -> None:
    assert table(header) == names


def test_every_flag_is_listed() -> None:
    usage = next(iter(build_parser()._subparsers._group_actions[0].choices.values())).format_help()  # type: ignore[union-attr]
    flags = set(re.findall(r"--[a-z-]+", usage)) - {"--help"}
    assert {flag.split()[0] for flag in table("flag")} == flags


def test_every_failure_of_pods_is_named() -> None:
    text = README.read_text()
    assert all(kind.value.replace("_", "-") in text for kind in PodFaultKind)
