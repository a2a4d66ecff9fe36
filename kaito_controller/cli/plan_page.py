"""The answers for people: one table and a few sentences, on 80 columns, in colour only on a terminal, and in plain ASCII of our own.

Flags of the pod are printed one a line and never broken, so that they can be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kaito_controller.api.violation import quote
from kaito_controller.catalog.model import Preset
from kaito_controller.catalog.sizing import HOURS_A_MONTH, Fitness, HoursRange
from kaito_controller.catalog.units import count_of, format_size
from kaito_controller.cli.asked import Asked, Narrowed
from kaito_controller.cli.choices import Choice, pod_flags
from kaito_controller.cli.circumstances import Circumstances, quota_text, times_text
from kaito_controller.cli.document import notes
from kaito_controller.cli.terminal import captured

_WORDS = {
    Fitness.FITS: Text("fits", "green"),
    Fitness.TIGHT: Text("tight", "yellow"),
    Fitness.DOES_NOT_FIT: Text("no", "red"),
}
_MANY = 1000
"""From here on requests are a number that nobody counts."""
_NO_LIMIT = 1000
"""Columns in which every table would fit."""


def plan_page(
    asked: Asked, narrowed: Narrowed, choices: Sequence[Choice], known: Circumstances, *, everything: bool
) -> str:
    """The page of `plan`. `everything`: also types that are retired or do not hold the model, which nobody asked for."""
    shown = [c for c in choices if everything or c.asked or (c.fits and c.instance_type.current)]

    def show(console: Console) -> None:
        console.print(f"{_title(asked, narrowed)}\n")
        if shown:
            console.print(_tuning_table(shown, known) if asked.method else _plan_table(console, shown, known))
            console.print(_legend(shown, asked))
        for sentence in [*_counted(asked, narrowed, choices, shown), *notes(asked, narrowed, choices, known)]:
            console.print(sentence)
        console.print(quota_text(known))
        console.print(times_text(known, asked.method))
        _print_flags(console, asked, shown)

    return captured(show)


def models_page(presets: Sequence[Preset]) -> str:
    """The page of `models`."""
    table = _table("PRESET", "GPU MEMORY", "CONTEXT", "LICENCE", "TUNING", right=("GPU MEMORY", "CONTEXT"))
    for preset in presets:
        table.add_row(*_model_cells(preset))

    def show(console: Console) -> None:
        console.print(table)
        console.print(
            f"{count_of(len(presets), 'model')}. GPU memory is that of the weights, or what the preset asks for."
        )

    return captured(show)


def _table(*names: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    return table


def _title(asked: Asked, narrowed: Narrowed) -> str:
    purpose = f"{asked.method} tuning of" if asked.method else "inference of"
    context = f", with {narrowed.context} tokens of context" if narrowed.context else ""
    name = f"Workspace {quote(asked.name)}: " if asked.name else ""
    return f"{name}{purpose} {asked.preset.name} on {count_of(asked.nodes, 'node')}{context}"


def _plan_table(console: Console, shown: Sequence[Choice], known: Circumstances) -> Table:
    """Without the months where there is no room: the legend says how many hours one has."""
    table = _priced_table(shown, known, with_month=True)
    wide = console.measure(table, options=console.options.update(max_width=_NO_LIMIT)).maximum > console.width
    return _priced_table(shown, known, with_month=False) if wide else table


def _priced_table(shown: Iterable[Choice], known: Circumstances, *, with_month: bool) -> Table:
    numbers = ("GPUS", "CONTEXT", "REQUESTS", "USD/H", "MONTH")
    last = ("QUOTA",) if known.offer else ()
    kept = slice(None) if with_month else slice(-1)
    names = ("", "INSTANCE TYPE", "FIT", "GPUS", "WIDTH", *numbers[1:])[kept]
    table = _table(*names, *last, right=(*numbers, *last))
    for choice in shown:
        table.add_row(*_plan_cells(choice)[kept], *([_quota_text(choice, known)] if last else []))
    return table


def _tuning_table(shown: Iterable[Choice], known: Circumstances) -> Table:
    """As the other, with memory, time and price of a run in the place of what only a served model has."""
    numbers = ("GPUS", "MEMORY", "HOURS", "RUN USD", "USD/H")
    last = ("QUOTA",) if known.offer else ()
    table = _table("", "INSTANCE TYPE", "FIT", *numbers, *last, right=(*numbers, *last))
    for choice in shown:
        cells = _plan_cells(choice)
        run = (_memory_text(choice), _span_text(choice.hours), _span_text(choice.run_usd))
        table.add_row(*cells[:4], *run, cells[7], *([_quota_text(choice, known)] if last else []))
    return table


def _memory_text(choice: Choice) -> str:
    if choice.memory is None:
        return "-"
    low, high = (format_size(size).removesuffix("Gi") for size in (choice.memory.low, choice.memory.high))
    return f"{low}Gi" if low == high else f"{low}-{high}Gi"


def _span_text(span: HoursRange | None) -> str:
    """`0.71-2.0`, `8.5-24`: two digits, as such a range deserves."""
    return "-" if span is None else f"{_two_digits(span.low)}-{_two_digits(span.high)}"


def _two_digits(number: float) -> str:
    return f"{number:.{2 if number < 1 else 1 if number < 10 else 0}f}"


def _quota_text(choice: Choice, known: Circumstances) -> str:
    """`ok`, the cores that are missing, `none` for a type that is not sold, `?` when nobody knows."""
    lacking = known.lacking(choice.instance_type, choice.nodes)
    if lacking is not None:
        return f"-{lacking.missing_cores}" if lacking.missing_cores else "none"
    return "ok" if known.quota(choice.instance_type, choice.nodes) == "enough" else "?"


def _plan_cells(choice: Choice) -> tuple[str | Text, ...]:
    known, plan = choice.instance_type, choice.plan if choice.fits else None
    marks = f"{'*' if choice.asked else ''}{'' if known.current else '!'}"
    return (
        marks,
        known.name,
        _WORDS[choice.fitness],
        f"{known.gpus}x{choice.nodes}",
        _width_text(choice),
        str(plan.context) if plan else "-",
        _requests_text(choice),
        "-" if choice.hourly_usd is None else f"{_usd_text(choice.hourly_usd)}{'' if _is_local(choice) else '~'}",
        "-" if choice.monthly_usd is None else _month_text(choice.monthly_usd),
    )


def _usd_text(usd: float) -> str:
    """Cents of a thousand dollars are left out."""
    return f"{usd:.2f}" if usd < _MANY else f"{usd:.0f}"


def _month_text(usd: float) -> str:
    """`2681`, `102k`."""
    return f"{usd:.0f}" if usd < 100 * _MANY else f"{usd / 1000:.0f}k"


def _width_text(choice: Choice) -> str:
    """How the model lies over the GPUs, or how many of them each pod takes."""
    if not choice.fits:
        return "-"
    widths = choice.plan.widths if choice.plan else None
    return str(widths).replace(" x ", "x").replace("P ", "P") if widths else count_of(choice.gpus_per_pod, "GPU")


def _requests_text(choice: Choice) -> str:
    if choice.requests is None:
        return "-"
    low, high = (int(number) for number in choice.requests)
    if low >= _MANY:
        return f"{_MANY}+"
    return str(low) if low == high else f"{low}-{high}"


def _is_local(choice: Choice) -> bool:
    return choice.price_region == choice.region


def _legend(shown: Sequence[Choice], asked: Asked) -> str:
    priced = [c for c in shown if c.hourly_usd is not None]
    parts = ["* asked for"] if any(c.asked for c in shown) else []
    parts += ["! retired by its cloud"] if any(not c.instance_type.current for c in shown) else []
    parts += ["GPUS of a node x nodes"]
    parts += ["REQUESTS of full CONTEXT at once"] if any(c.requests for c in shown) else []
    parts += ["MEMORY of a run with examples of 1024 tokens"] if asked.method else []
    legend = f"{'; '.join(parts)}."
    if not priced:
        return f"{legend} No list prices are known."
    dates = ", ".join(sorted({c.instance_type.price_date for c in priced}))
    other = sorted({c.price_region for c in priced if not _is_local(c)})
    elsewhere = f" (~: {', '.join(other)}, none is known there)" if other else ""
    month = "" if asked.method else f"; a month has {HOURS_A_MONTH} hours"
    return f"{legend} List prices on demand of {dates}, {priced[0].region}{elsewhere}{month}."


def _counted(asked: Asked, narrowed: Narrowed, choices: Sequence[Choice], shown: Sequence[Choice]) -> list[str]:
    """What is not in the table, so that nobody takes it for the whole world."""
    found = []
    if not any(c.fits and c.instance_type.current for c in choices):
        within = " within these limits" if narrowed.gpu or narrowed.most_usd or narrowed.context else ""
        found.append(
            f"No current type of {narrowed.cloud} holds {asked.preset.name} on {count_of(asked.nodes, 'node')}{within}."
        )
    hidden = len(choices) - len(shown)
    if hidden:
        found.append(f"{count_of(hidden, 'more type')} of {narrowed.cloud}, too small or retired: --all shows them.")
    if narrowed.most_usd is not None:
        found.append(f"Types above {narrowed.most_usd:g} USD an hour, and types without a known price, are left out.")
    return found


def _print_flags(console: Console, asked: Asked, shown: Sequence[Choice]) -> None:
    best = next((c for c in shown if c.asked and c.fits), None) or next((c for c in shown if c.fits), None)
    flags = pod_flags(asked.preset, best) if best else []
    if best is None or not flags:
        return
    console.print(f"\nThe pod's flags on {best.instance_type.name}:")
    for flag in flags:
        console.print(f"  {flag}", soft_wrap=True)


def _model_cells(preset: Preset) -> tuple[str, ...]:
    licence = preset.weights.licence or ("private image" if preset.access == "private" else "published image")
    return (
        preset.name,
        format_size(preset.inference.total_gpu_memory_bytes),
        str(preset.shape.context) if preset.shape else "-",
        f"{licence}{' (gated)' if preset.weights.gated else ''}",
        " ".join(sorted(preset.tuning.methods)) if preset.tuning else "-",
    )
