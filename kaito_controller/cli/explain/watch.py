"""`explain --watch`: on a terminal a page that is drawn anew with a bar for each phase, through a pipe a line for each change."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from controller_runtime.clock import rfc3339
from kaito_controller.cli.ages import age
from kaito_controller.cli.cluster import Cluster
from kaito_controller.cli.explain.explanation import Explanation, explain
from kaito_controller.cli.explain.gathered import Gathered
from kaito_controller.cli.explain.page import explain_page
from kaito_controller.cli.explain.phases import Phase, phases
from kaito_controller.cli.operators import controller_metrics
from kaito_controller.cli.phase_durations import Expected, expected
from kaito_controller.cli.terminal import console

_BAR = 24


def follow(looks: Iterable[Gathered], cluster: Cluster) -> Explanation:
    """Shows each look; returns the last."""
    usual = expected(controller_metrics(cluster) or "")
    screen = console()
    shown = _follow_live(screen, looks, usual) if screen.is_terminal else _follow_lines(looks, usual)
    return explain(shown)


def _follow_live(screen: Console, looks: Iterable[Gathered], usual: dict[str, Expected]) -> Gathered:
    last: Gathered | None = None
    with Live(console=screen, auto_refresh=False, vertical_overflow="visible") as live:
        for last in looks:
            live.update(_drawn(last, usual), refresh=True)
    return _seen(last)


def _follow_lines(looks: Iterable[Gathered], usual: dict[str, Expected]) -> Gathered:
    last, before = None, ""
    for last in looks:
        line = change_line(last, usual)
        if line.partition(" ")[2] != before:
            before = line.partition(" ")[2]
            print(line, flush=True)  # noqa: T201  # a command line
    sys.stdout.write(f"\n{explain_page(explain(_seen(last)))}")
    return _seen(last)


def _seen(last: Gathered | None) -> Gathered:
    if last is None:
        raise RuntimeError("there is at least one look")
    return last


def change_line(gathered: Gathered, usual: dict[str, Expected]) -> str:
    """When, the reason, and what the phase that runs counts."""
    explanation = explain(gathered)
    running = next((p for p in phases(gathered, usual) if p.started and not p.ended), None)
    told = (
        f" ({running.name}{f', {running.told}' if running.told else ''})" if running and not explanation.ready else ""
    )
    return f"{rfc3339(gathered.now)} {explanation.reason.name}{told}"


def _drawn(gathered: Gathered, usual: dict[str, Expected]) -> Group:
    """The page with the bars below it."""
    return Group(Text.from_ansi(explain_page(explain(gathered))), bars(gathered, usual))


def bars(gathered: Gathered, usual: dict[str, Expected]) -> Table:
    """One line for each phase: name, bar, elapsed time, what it counts."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    for phase in phases(gathered, usual):
        bar = ProgressBar(total=1.0, completed=phase.share, width=_BAR)
        table.add_row(phase.name, bar, _elapsed(phase, gathered), phase.told)
    return table


def _elapsed(phase: Phase, gathered: Gathered) -> str:
    return age(phase.started, phase.ended or gathered.now) if phase.started else "-"
