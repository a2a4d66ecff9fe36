"""Read the data files of the catalogue, and single entries, by their schema.

The files ship with the package, so a fault in one is a fault of the build: `CatalogError` names file, entry and field, and the
generator reads every file. Programs load what it has compiled (`loader.py`). What users add at run time goes through `extension.py`,
which never raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.entries import (
    CardEntry,
    Entry,
    InstanceTypeEntry,
    InstanceTypesFile,
    PresetEntry,
    PricesEntry,
)
from kaito_controller.catalog.loader import load_cards
from kaito_controller.catalog.model import Catalog, InstanceType, Preset

T = TypeVar("T", Preset, InstanceType)
E = TypeVar("E", bound=Entry)
_DATA = resources.files("kaito_controller.catalog") / "data"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same safe schema in C where PyYAML has it: the data files take a twentieth of a second instead of half a second."""


class CatalogError(ValueError):
    """A data file of the catalogue breaks its schema."""


@cache
def read_catalog() -> Catalog:
    """The built-in catalogue from its data files: for the generator that compiles it, and for tests. Programs take `load_catalog`."""
    presets = _unique(p for file in _yaml_files("presets") for p in read_presets(file.read_text("utf-8"), file.name))
    cards = read_cards()
    types = _unique(
        t
        for file in _yaml_files("instance_types")
        for t in read_instance_types(file.read_text("utf-8"), file.name, cards)
    )
    return Catalog(presets=MappingProxyType(presets), instance_types=MappingProxyType(types))


def read_cards() -> Mapping[str, Card]:
    """The built-in cards from their data file, by model and nominal size."""
    entries = _parsed((_DATA / "cards.yaml").read_text("utf-8"))
    cards = [_checked(CardEntry, entry, f"cards.yaml[{index}]").to_card() for index, entry in enumerate(entries)]
    return MappingProxyType({card.name: card for card in cards})


def read_presets(text: str, where: str) -> list[Preset]:
    """The presets of one data file."""
    entries = _parsed(text)
    if not isinstance(entries, list):
        raise CatalogError(f"{where}: must hold a list of presets")
    return [preset_from(entry, f"{where}[{index}]") for index, entry in enumerate(entries)]


def read_instance_types(text: str, where: str, cards: Mapping[str, Card]) -> list[InstanceType]:
    """The instance types of one data file; each entry names one of the file's sources."""
    try:
        file = InstanceTypesFile.model_validate(_parsed(text), by_alias=True)
    except ValidationError as error:
        raise CatalogError(_sentence(where, error)) from error
    result = []
    for index, entry in enumerate(file.instance_types):
        source = file.sources.get(str(entry.get("source")))
        if source is None:
            raise CatalogError(f"{where}[{index}]: source must be one of {', '.join(file.sources)}")
        dated = {"priceDate": file.price_date} if "prices" in entry else {}
        added = {"cloud": file.cloud, "source": source, **dated}
        result.append(_instance_type_from({**entry, **added}, f"{where}[{index}]", cards))
    return result


def preset_from(entry: Any, where: str) -> Preset:
    """One preset entry, checked."""
    return _checked(PresetEntry, entry, where).to_preset()


def instance_type_from(entry: Any, where: str) -> InstanceType:
    """One instance type entry, checked. Its card is looked up among the built-in ones."""
    return _instance_type_from(entry, where, load_cards())


def prices_from(entry: Any, where: str) -> PricesEntry:
    """Added list prices, checked."""
    return _checked(PricesEntry, entry, where)


def _instance_type_from(entry: Any, where: str, cards: Mapping[str, Card]) -> InstanceType:
    return _checked(InstanceTypeEntry, entry, where).to_instance_type(cards)


def _checked(kind: type[E], entry: Any, where: str) -> E:
    try:
        return kind.model_validate(entry, by_alias=True)
    except ValidationError as error:
        raise CatalogError(_sentence(where, error)) from error


def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  # both are safe loaders


def _yaml_files(folder: str) -> list[Traversable]:
    return sorted((f for f in (_DATA / folder).iterdir() if f.name.endswith(".yaml")), key=lambda f: f.name)


def _unique(items: Iterator[T]) -> dict[str, T]:
    result: dict[str, T] = {}
    for item in items:
        if item.name in result:
            raise CatalogError(f"{item.name}: listed twice")
        result[item.name] = item
    return result


def _sentence(where: str, error: ValidationError) -> str:
    """All faults of an entry in one line, each with its field; at most five, so that it stays readable."""
    faults = []
    for detail in error.errors(include_url=False, include_context=False)[:5]:
        path = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        faults.append(f"{path}: {message}" if path else message)
    return f"{where}: " + "; ".join(faults)
