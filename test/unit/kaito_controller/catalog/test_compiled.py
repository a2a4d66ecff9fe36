"""The catalogue that programs load is the one that people edit, and loading it takes neither YAML nor the schema."""

from __future__ import annotations

import subprocess
import sys
from types import MappingProxyType

import pytest

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.data_files import read_cards, read_catalog
from kaito_controller.catalog.loader import load_cards, load_catalog
from kaito_controller.catalog.model import Preset
from kaito_controller.catalog.plain_form import from_plain, to_plain


def test_the_compiled_catalogue_is_what_the_data_files_say() -> None:
    assert load_catalog() == read_catalog()
    assert load_cards() == read_cards()


def test_loading_imports_neither_the_schema_nor_yaml() -> None:
    program = (
        "import sys; from kaito_controller.catalog.loader import load_catalog; import kaito_controller.catalog.sizing;"
        "load_catalog(); print(*sorted({'pydantic', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", sorted(load_catalog().presets))
def test_a_preset_comes_back_from_its_plain_form(name: str) -> None:
    preset = read_catalog().presets[name]

    assert from_plain(Preset, to_plain(preset)) == preset


def test_what_is_loaded_cannot_be_changed() -> None:
    preset = load_catalog().presets["falcon-7b"]

    assert preset.tuning is not None
    assert isinstance(preset.tuning.methods, MappingProxyType)
    assert isinstance(preset.launcher.run_args, MappingProxyType)
    assert isinstance(preset.launcher.command, tuple)


def test_a_default_is_not_written_and_comes_back() -> None:
    card = Card("NVIDIA X 8Gi", 8, 8.0)

    assert to_plain(card) == {"name": "NVIDIA X 8Gi", "memory_bytes": 8, "compute_capability": 8.0}
    assert from_plain(Card, to_plain(card)) == card
