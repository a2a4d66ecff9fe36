"""The README of the catalogue shows what the data says, and its example works."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import kaito_controller.catalog
from kaito_controller.catalog.extension import extend
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.tables import instance_type_rows, preset_rows

README = (Path(kaito_controller.catalog.__file__).parent / "README.md").read_text("utf-8")


def test_the_tables_are_those_of_the_data() -> None:
    assert "\n".join(preset_rows(load_catalog())) in README
    assert "\n".join(instance_type_rows(load_catalog())) in README


def test_the_example_of_an_added_model_and_type_is_accepted() -> None:
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example

    catalog, errors = extend(load_catalog(), yaml.safe_load(example[1])["data"])

    assert errors == []
    assert "my-model" in catalog.presets
    assert "Standard_NX8_v9" in catalog.instance_types
