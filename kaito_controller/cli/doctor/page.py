"""The page of `doctor`: one line for each finding, with its cure below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kaito_controller.catalog.units import count_of
from kaito_controller.cli.doctor.finding import Finding, Level
from kaito_controller.cli.terminal import captured

_STYLES = {Level.OK: "green", Level.UNKNOWN: "dim", Level.WARNING: "yellow", Level.BAD: "bold red"}


def doctor_page(findings: Sequence[Finding]) -> str:
    """The whole page."""

    def show(console: Console) -> None:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for finding in findings:
            told = Text(f"{finding.told}\n-> {finding.cure}" if finding.cure else finding.told)
            table.add_row(Text(finding.level.value, _STYLES[finding.level]), finding.check, told)
        console.print(Padding(table, 0))
        console.print(f"\n{_counted(findings)}")

    return captured(show)


def _counted(findings: Sequence[Finding]) -> str:
    found = Counter(finding.level for finding in findings)
    bad, warned, unknown = (found[level] for level in (Level.BAD, Level.WARNING, Level.UNKNOWN))
    return f"{bad} bad, {count_of(warned, 'warning')}, {unknown} unknown."
