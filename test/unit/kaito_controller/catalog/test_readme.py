"""The README of the catalogue shows what the data says, and its example works."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

import kaito_controller.catalog
from kaito_controller.catalog import tables
from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.loader import load_catalog

README = (Path(kaito_controller.catalog.__file__).parent / "README.md").read_text("utf-8")
PRESET_HEAD = (
    "| preset | access | tag | GPUs | memory | per GPU | disk | ready within | distributed | adapters | lora | qlora |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)
TYPE_HEAD = (
    "| instance type | cloud | vCPUs | GPUs | of | seen | model | capability | retires | instead | USD/h |",
    "|---|---|---:|---:|---:|---:|---|---:|---|---|---:|",
)


def _table(head: tuple[str, str], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join([*head, *(f"| {' | '.join(cells)} |" for cells in rows)])


def test_the_tables_are_those_of_the_data() -> None:
    assert _table(PRESET_HEAD, tables.preset_cells(load_catalog())) in README
    assert _table(TYPE_HEAD, tables.instance_type_cells(load_catalog())) in README


def test_the_example_of_an_added_model_and_type_is_accepted() -> None:
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example

    catalog, errors = extend(load_catalog(), yaml.safe_load(example[1])["data"])

    assert errors == []
    assert "my-model" in catalog.presets
    assert "Standard_NX8_v9" in catalog.instance_types
