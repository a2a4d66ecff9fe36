"""Tables of the documentation that repeat what the code says, written into the pages by `make manifests`.

`<!-- rows: NAME -->` above a table: its rows are those of `ROWS[NAME]`, complete and in the code's order. `<!-- excerpt -->` above a
table: its author chooses the rows by their first cell, and the other cells are those of the table in another page that has the same
columns. Headings of tables and all prose stay with their authors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from controller_runtime.metrics.registry import new_registry
from controller_runtime.settings import OperatorSettings, SettingRow, describe_settings
from controller_runtime.version import BUILD_INFO, BUILD_INFO_HELP
from gpu_provisioner.api import reasons as machine_reasons
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.machine.transitions import EVENTS
from gpu_provisioner.metrics import ProvisionerMetrics
from gpu_provisioner.settings import ENV_PREFIX as PROVISIONER_PREFIX
from gpu_provisioner.settings import SETTINGS as PROVISIONER_SETTINGS
from kaito_controller.api import conditions
from kaito_controller.api.reasons import REASONS
from kaito_controller.catalog import tables
from kaito_controller.catalog.data_files import read_catalog
from kaito_controller.settings import ENV_PREFIX as CONTROLLER_PREFIX
from kaito_controller.settings import ControllerSettings
from kaito_controller.workloads import template_fields
from kaito_controller.workspace.metrics import NAMES, PHASES

Row = tuple[str, ...]

_MARK = re.compile(r"<!-- (?:rows: (?P<rows>[\w-]+)|(?P<excerpt>excerpt)) -->")
_SAME_COLUMN = {"name": "metric"}


def _setting(row: SettingRow) -> Row:
    return f"`{row.flag}`", ", ".join(f"`{name}`" for name in row.env), row.default, row.description


def _provisioner_settings() -> Iterator[Row]:
    shared = set(OperatorSettings.model_fields)
    rows = describe_settings(PROVISIONER_SETTINGS, PROVISIONER_PREFIX)
    return (_setting(row) for row in rows if row.field not in shared)


def _provisioner_metrics() -> Iterator[Row]:
    registry = new_registry(process=False)
    ProvisionerMetrics(registry)
    for family in registry.collect():
        suffix = "_total" if family.type == "counter" else ""
        yield f"`{family.name}{suffix}`", family.type, family.documentation


def _condition_texts() -> dict[str, str]:
    source = Path(conditions.__file__).read_text("utf-8")
    return dict(re.findall(r'^[A-Z_]+ = "(\w+)"\n"""(.+)"""$', source, re.M))


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


ROWS: dict[str, Callable[[], Iterable[Row]]] = {
    "conditions": lambda: ((f"`{name}`", _condition_texts()[name]) for name in conditions.ALL),
    "catalogue-models": lambda: tables.model_cells(read_catalog()),
    "catalogue-presets": lambda: tables.preset_cells(read_catalog()),
    "catalogue-instance-types": lambda: tables.instance_type_cells(read_catalog()),
    "runtimes": tables.runtime_cells,
    "controller-reasons": lambda: (
        (f"`{r.name}`", r.severity.value, ", ".join(r.conditions), r.cause, r.cure) for r in REASONS.values()
    ),
    "controller-settings": lambda: map(_setting, describe_settings(ControllerSettings, CONTROLLER_PREFIX)),
    "controller-metrics": lambda: (
        (f"`{name}`", text) for name, text in {**NAMES, BUILD_INFO: BUILD_INFO_HELP}.items()
    ),
    "controller-phases": lambda: ((f"`{name}`", text) for name, text in PHASES.items()),
    "provisioner-reasons": lambda: (
        (f"`{r.reason}`", f"`{r.condition}`", CLOUD.told(r.cause), CLOUD.told(r.cure)) for r in machine_reasons.REASONS
    ),
    "provisioner-settings": _provisioner_settings,
    "provisioner-events": lambda: ((kind, f"`{reason}`", meaning) for kind, reason, meaning in EVENTS),
    "provisioner-metrics": _provisioner_metrics,
    "template-fields": lambda: ((_code(places), _code(names)) for places, names in template_fields.allowed_rows()),
    "machinery-settings": lambda: map(_setting, describe_settings(OperatorSettings, "PREFIX")),
}
"""Name in the mark → the rows that the code gives, cells unescaped."""


def render(text: str, others: Iterable[str] = ()) -> str:
    """A page with its marked tables filled. `others`: pages from which excerpts are taken. KeyError for an unknown name or row."""
    lines = text.splitlines()
    rendered: list[str] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        rendered.append(line)
        position += 1
        mark = _MARK.fullmatch(line)
        if mark is None:
            continue
        table, position = _table_at(lines, position)
        rendered += ["", *table[:2], *_filled(mark, table, others)]
    return "\n".join(rendered) + "\n"


def _table_at(lines: list[str], position: int) -> tuple[list[str], int]:
    while not lines[position]:
        position += 1
    end = position
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return lines[position:end], end


def _filled(mark: re.Match[str], table: list[str], others: Iterable[str]) -> list[str]:
    if mark["rows"]:
        return [_line(row) for row in ROWS[mark["rows"]]()]
    header = _cells(table[0])
    known = _known_rows(others)
    return [_line(_excerpt(header, _cells(line), known)) for line in table[2:]]


def _excerpt(header: Row, row: Row, known: dict[str, list[dict[str, str]]]) -> Row:
    """The row of the same first cell whose columns are a superset of `header`'s."""
    matches = [candidate for candidate in known[row[0]] if {*header} <= candidate.keys()]
    if not matches:
        raise KeyError(f"no page has {row[0]} with the columns {', '.join(header)}")
    return tuple(matches[0][name] for name in header)


def _known_rows(pages: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    known: dict[str, list[dict[str, str]]] = {}
    for page in pages:
        header: Row = ()
        for line in page.splitlines():
            if not line.startswith("|"):
                header = ()
            elif not header:
                header = tuple(_SAME_COLUMN.get(name, name) for name in _cells(line))
            elif len(cells := _cells(line)) == len(header):
                known.setdefault(cells[0], []).append(dict(zip(header, cells, strict=True)))
    return known


def _cells(line: str) -> Row:
    return tuple(cell.strip().replace("\\|", "|") for cell in re.split(r" \| ", line.strip().strip("|")))


def _line(cells: Row) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
