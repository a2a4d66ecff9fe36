"""The page of `explain`: the chain as a tree, then why, whose move, until when, and the next command; on 80 columns, ASCII of our own.

Words of the cloud are shown as they are said, wrapped; commands stand alone on their line and are never broken, so that they can be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from controller_runtime.clock import rfc3339
from kaito_controller.api.reasons import Severity
from kaito_controller.cli.ages import age, stamped
from kaito_controller.cli.explain.explanation import Explanation
from kaito_controller.cli.explain.steps import Mark, Step
from kaito_controller.cli.terminal import captured

_STYLES = {Mark.DONE: "green", Mark.DOING: "cyan", Mark.TROUBLE: "bold red", Mark.LATER: "dim"}
_COLOURS = {
    Severity.GOOD: "green",
    Severity.WAITING: "cyan",
    Severity.TROUBLE: "bold yellow",
    Severity.TERMINAL: "bold red",
}
_QUOTED = 0.6
"""Share of words from which on a message is taken to quote another."""
_SHOWN = 3
"""Links of one kind that are all well and shown before the rest is only counted."""


def explain_page(explanation: Explanation) -> str:
    """The whole page."""
    return captured(lambda console: print_page(console, explanation))


def print_page(console: Console, explanation: Explanation) -> None:
    """The page on a console."""
    console.print(f"Workspace {explanation.namespace}/{explanation.name}: {explanation.subject}")
    console.print(_headline(explanation))
    console.print()
    console.print(_tree(explanation))
    console.print()
    console.print(explanation.message)
    _print_said(console, explanation)
    if explanation.progress_text:
        console.print(f"Progress: {explanation.progress_text}")
    console.print()
    if explanation.reason.severity is not Severity.GOOD:
        console.print(f"Whose move: {explanation.move}. {explanation.cure}")
        if explanation.until:
            console.print(f"Until: {stamped(explanation.until, explanation.now)}")
    console.print("Next:")
    console.print(f"  {explanation.command}", soft_wrap=True)
    for gap in explanation.gaps:
        console.print(f"Not shown: {gap}.")


def _headline(explanation: Explanation) -> Text:
    state = "being deleted" if explanation.deleting else "ready" if explanation.ready else "not ready"
    since = (
        f" since {rfc3339(explanation.since)} ({age(explanation.since, explanation.now)})" if explanation.since else ""
    )
    reason = explanation.reason.name, _COLOURS[explanation.reason.severity]
    return Text.assemble(f"{state}{since}: ", reason)  # several reasons may follow one another meanwhile


def _tree(explanation: Explanation) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", max_width=30)
    table.add_column(justify="right", no_wrap=True)
    for step, more in _condensed(explanation.steps):
        text = f"{'  ' * step.depth}{step.kind} {step.name}" if not more else f"{'  ' * step.depth}and {more} more"
        since = age(step.since, explanation.now) if not more else ""
        table.add_row(Text(step.mark.value, _STYLES[step.mark]), text, step.state, since)
    return table


def _condensed(steps: Sequence[Step]) -> Iterator[tuple[Step, int]]:
    """Long runs of the same link that is well become one line; 0 for a link that is shown itself."""
    for _, run in groupby(steps, key=lambda step: (step.kind, step.mark, step.state, step.depth)):
        alike = list(run)
        if len(alike) <= _SHOWN:
            yield from ((step, 0) for step in alike)
        else:
            yield from ((step, 0) for step in alike[: _SHOWN - 1])
            yield alike[-1], len(alike) - _SHOWN + 1


def _print_said(console: Console, explanation: Explanation) -> None:
    """What the cloud or the kubelet said, where the message does not quote it."""
    for step in _unquoted(explanation.steps, explanation.message):
        console.print(f"{step.kind} {step.name} says: {' '.join(step.said.split())}")


def _unquoted(steps: Iterable[Step], message: str) -> Iterator[Step]:
    """Those most of whose words the message does not have."""
    told = set(_words(message))
    for step in steps:
        said = _words(step.said)
        if said and sum(word in told for word in said) < _QUOTED * len(said):
            yield step


def _words(text: str) -> list[str]:
    return [word.strip(".,:;") for word in text.split()]
