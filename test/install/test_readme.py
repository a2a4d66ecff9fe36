"""What the documentation says is so: its tables are those of the packages, its links lead somewhere, its values exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

from hack.render import values_schema
from hack.render.kustomize import ROOT
from test.install import readme, shipped
from test.install.readme import README, Table, tables

PACKAGES = [path for path in ROOT.glob("*/**/README.md") if not {".venv", ".venv-checks"} & set(path.parts)]
TOP = [table for page in readme.PAGES for table in tables(page)]
OWN_TABLES = {
    "`--node-api`",
    "attack",
    "command",
    "condition",
    "instead of `config/default`",
    "more quickstarts",
    "option",
    "page",
    "party",
    "reference",
    "rule",
    "stage",
    "surface",
    "what",
    "what happens",
    "word",
    "interchange",
    "known besides",
    "of 200 Workspaces",
}
"""First columns of tables that no package has; the others repeat rows of a package's table, word by word."""
OWN_FIGURES = (
    "writes of ",
    "… in a steady state",
    "… PUTs to Azure",
    "from a Machine's change",
    "1,000 Workspaces at once",
    "… against four times",
    "the whole demo",
    "… from a fresh",
    "a Workspace at a real API server",
    "… with 144 models",
    "the built-in catalogue imported",
    "250 Machines ordered at once",
    "1,000 Machines ordered at once",
    "… seconds to the last order",
    "… log lines",
    "… memory of `gpu-provisioner`",
    "memory that a Workspace leaves",
    "memory of `kaito-controller` after",
    "… of `gpu-provisioner`",
    "… in `gpu-provisioner`",
    "entries of our tables",
)


def of_the_packages(first: str) -> list[Table]:
    same = {first, "name"} if first == "metric" else {first}
    return [table for path in PACKAGES for table in tables(path) if table.header[0] in same]


@pytest.mark.parametrize("table", [t for t in TOP if t.header[0] not in OWN_TABLES], ids=lambda t: t.header[0])
def test_a_row_that_a_package_documents_is_the_same_here(table: Table) -> None:
    theirs = of_the_packages(table.header[0])
    assert theirs
    for row in table.rows:
        if row[0].startswith(OWN_FIGURES):
            continue
        here = dict(zip(table.header[1:], row[1:], strict=True))
        there = [dict(zip(t.header[1:], r[1:], strict=True)) for t in theirs for r in t.rows if r[0] == row[0]]
        assert any(here.keys() & row.keys() for row in there), f"no package documents {row[0]}"
        assert any(all(here.get(name, cell) == cell for name, cell in row.items()) for row in there), (here, there)


def test_every_test_that_the_interchange_table_names_is_there() -> None:
    (table,) = [t for t in TOP if t.header[0] == "interchange"]

    named = [path for row in table.rows for path in re.findall(r"`(test/[^`]+)`", " ".join(row))]

    assert len(named) >= 4
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_every_figure_says_what_measures_it() -> None:
    (table,) = [t for t in TOP if t.header[0] == "figure"]

    for figure, *_, source in table.rows:
        command = source.strip("`")
        if command.startswith("python -m "):
            command = command.removeprefix("python -m ").replace(".", "/") + ".py"
        assert command in ("make bench", "make demo") or (ROOT / command).is_file(), f"{figure}: {source}"


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_path_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    links = {page.parent / link for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)}
    paths = re.findall(
        r"(?:^|[\s`])((?:config|docs|manifests|hack|test|kaito_controller|gpu_provisioner|controller_runtime)/[\w./-]+)",
        text,
    )

    assert not {path for path in (*links, *(ROOT / path.rstrip(".,:;") for path in paths)) if not path.exists()}


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.name)
def test_every_link_into_a_page_meets_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]+)#([^)]+)\)", page.read_text("utf-8")):
        headings = re.findall(r"^#+ (.+)$", (page.parent / target).read_text(), re.M)
        assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, f"{target}#{anchor}"


def test_the_top_readme_leads_to_every_page() -> None:
    top = (ROOT / "README.md").read_text("utf-8")
    reached = {name for page in readme.PAGES for name in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8"))}

    assert {page.name for page in readme.PAGES} - {"README.md"} <= {Path(name).name for name in reached}
    assert "(docs/install.md)" in top


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z-]+)`?", README))))
def test_make_knows_every_target_that_is_mentioned(target: str) -> None:
    reply = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)

    assert reply.returncode == 0, reply.stderr


def test_values_given_to_helm_fit_the_charts_schema() -> None:
    schema = yaml.safe_load(values_schema.build())
    given = [pair for group in re.findall(r"--set ([\w.]+=[^\s`)|]+)", README) for pair in group.split(",")]

    assert len(given) >= 8
    for pair in given:
        path, _, text = pair.partition("=")
        value = yaml.safe_load(text)
        for key in reversed(path.split(".")):
            value = {key: value}
        jsonschema.validate(value, schema)


def test_every_base_of_config_is_either_part_of_the_default_or_presented() -> None:
    bases = {path.parent.name for path in (ROOT / "config").glob("*/kustomization.yaml")}
    parts = {
        Path(part).name
        for part in yaml.safe_load((ROOT / "config/default/kustomization.yaml").read_text())["resources"]
    }

    unmentioned = {name for name in bases - parts if f"config/{name}" not in README}
    assert not unmentioned
    assert set(shipped.VARIANTS) | set(shipped.OPTIONS) <= bases


def test_every_code_block_is_run_or_says_why_not_or_holds_no_command() -> None:
    for block in readme.blocks():
        assert block.kind in (readme.RUN, readme.NOT_RUN, *readme.PROSE), f"```{block.kind}: would not be run"
        if block.kind == readme.NOT_RUN:
            assert block.reason, f"no reason before {block.commands[0]}"
        if block.kind in readme.PROSE:
            typed = [line for line in block.lines if line.split(" ", 1)[0] in readme.PROGRAMS and " ──" not in line]
            assert not typed, f"{typed}: mark the block as ```sh, so that it is run"
