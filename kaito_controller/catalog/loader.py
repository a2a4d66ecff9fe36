"""The built-in catalogue, as programs load it: compiled from the data files by `python -m hack.generate`, read in milliseconds.

The YAML files under `data/` are what people edit and review; `data/compiled.json` is the same after the schema has checked it, and a test
compares the two. Nothing of the schema is imported here. What users add at run time goes through `extension.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from kaito_controller.catalog.cards import Card
from kaito_controller.catalog.model import Catalog, InstanceType, Preset
from kaito_controller.catalog.plain_form import from_plain, to_plain

COMPILED = "compiled.json"


@cache
def load_catalog() -> Catalog:
    """The built-in catalogue. The same immutable object on every call."""
    found = _compiled()
    return Catalog(
        presets=MappingProxyType({p["name"]: from_plain(Preset, p) for p in found["presets"]}),
        instance_types=MappingProxyType({t["name"]: from_plain(InstanceType, t) for t in found["instance_types"]}),
    )


@cache
def load_cards() -> Mapping[str, Card]:
    """The built-in cards, by model and nominal size. The same immutable object on every call."""
    return MappingProxyType({card["name"]: from_plain(Card, card) for card in _compiled()["cards"]})


def compiled_text(catalog: Catalog, cards: Mapping[str, Card]) -> str:
    """What the compiled file has to say: one thing a line, so that a change shows as one."""
    lists = {"presets": catalog.presets, "instance_types": catalog.instance_types, "cards": cards}
    return "{\n" + ",\n".join(f'"{name}": {_lines(items)}' for name, items in lists.items()) + "\n}\n"


def _lines(items: Mapping[str, Any]) -> str:
    return "[\n" + ",\n".join(json.dumps(to_plain(item), ensure_ascii=False) for item in items.values()) + "\n]"


@cache
def _compiled() -> dict[str, Any]:
    file = resources.files("kaito_controller.catalog") / "data" / COMPILED
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found
