"""The pages of `top` and `gc`: one table each, on 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from kaito_controller.catalog.units import count_of
from kaito_controller.cli.gc import Leftover
from kaito_controller.cli.terminal import captured
from kaito_controller.cli.top import Load, busiest_first


def top_page(loads: Sequence[Load], namespace: str, gaps: Sequence[str]) -> str:
    """One line for each pod that serves."""

    def show(console: Console) -> None:
        table = _table("POD", "TOKENS/S", "PROMPT/S", "RUNNING", "WAITING", "CACHE", right=5)
        for load in busiest_first(loads):
            rates = (load.tokens_per_s, load.prompt_tokens_per_s)
            share = "-" if load.cache_share is None else f"{load.cache_share:.0%}"
            table.add_row(load.pod, *map(_shown, (*rates, load.running, load.waiting)), share)
        if loads:
            console.print(table)
        else:
            console.print(f"No pod of a Workspace in namespace {namespace} serves.")
        if any(load.running is None for load in loads):
            console.print("-: the model server does not tell.")
        for gap in gaps:
            console.print(f"Not shown: {gap}.")

    return captured(show)


def gc_page(found: Sequence[Leftover], unseen: Sequence[str]) -> str:
    """One line for each thing that is left over."""

    def show(console: Console) -> None:
        table = _table("OBJECT", "REMOVED BY", "WHY")
        for leftover in found:
            table.add_row(f"{leftover.kind} {leftover.name}", leftover.by, leftover.why)
        if found:
            console.print(table)
        console.print(f"{count_of(len(found), 'object')} left over. Nothing was removed.")
        for sentence in unseen:
            console.print(sentence)

    return captured(show)


def _table(*names: str, right: int = 0) -> Table:
    """The last `right` columns are numbers."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, justify="right" if place >= len(names) - right else "left", overflow="fold")
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"
