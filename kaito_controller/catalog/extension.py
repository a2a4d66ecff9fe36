"""Presets, instance types and prices that users add at run time, through a ConfigMap.

One key per entry, `preset.<name>.yaml` or `sku.<name>.yaml`, with the schema of the data files, and `prices.<any>.yaml` with newer list
prices. A broken entry is reported and left out; the others count. An entry replaces a built-in one of the same name. Keys of any other
form are not ours to judge: the admission policy keeps flat ones in the same ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kaito_controller.catalog.data_files import CatalogError, instance_type_from, preset_from, prices_from
from kaito_controller.catalog.entries import PricesEntry
from kaito_controller.catalog.model import Catalog, InstanceType, Preset
from kaito_controller.catalog.plain_yaml import PlainYamlError, load_plain_yaml

_KEY = re.compile(r"(preset|sku|prices)\.(.+)\.yaml")
_MAX_ERROR = 1000
_MAX_ENTRY = 64 * 1024


def extend(catalog: Catalog, data: Mapping[str, str]) -> tuple[Catalog, list[str]]:
    """`catalog` plus the entries in `data`, and one sentence for each entry that could not be used."""
    presets: dict[str, Preset] = dict(catalog.presets)
    types: dict[str, InstanceType] = dict(catalog.instance_types)
    errors: list[str] = []
    for key in sorted(
        data, key=lambda k: (k.startswith("prices."), k)
    ):  # prices last: they change types that are added here
        match = _KEY.fullmatch(key)
        if not match:
            continue
        try:
            _add(match[1], match[2], _read(key, data[key]), key, presets, types)
        except CatalogError as error:
            errors.append(str(error)[:_MAX_ERROR])
    return Catalog(MappingProxyType(presets), MappingProxyType(types)), errors


def _add(
    kind: str, name: str, entry: dict[str, Any], key: str, presets: dict[str, Preset], types: dict[str, InstanceType]
) -> None:
    if kind == "prices":
        _add_prices(prices_from(entry, key), types)
    elif kind == "preset":
        presets[name] = preset_from(_named(key, name, entry), key)
    else:
        types[name] = instance_type_from(_named(key, name, entry), key)


def _add_prices(prices: PricesEntry, types: dict[str, InstanceType]) -> None:
    """Newer prices of types that are known; prices of others are of no use, and no fault: tables of whole clouds are welcome."""
    for region, table in prices.regions.items():
        for name, price in table.items():
            if name in types:
                known = {} if types[name].price_date != prices.date else types[name].prices
                types[name] = replace(
                    types[name], prices=MappingProxyType({**known, region: price}), price_date=prices.date
                )


def _named(key: str, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with its name and source, which may be left out; the name may not contradict the key."""
    if entry.get("name", name) != name:
        raise CatalogError(f'{key}: name: must be "{name}", as in the key')
    return {"source": "added at run time", **entry, "name": name}


def _read(key: str, text: str) -> dict[str, Any]:
    if len(text) > _MAX_ENTRY:
        raise CatalogError(f"{key}: {len(text)} characters are too many for one entry; at most {_MAX_ENTRY}")
    try:
        entry = load_plain_yaml(text)
    except PlainYamlError as error:
        raise CatalogError(f"{key}: {error}") from error
    if not isinstance(entry, dict):
        raise CatalogError(f"{key}: must be a mapping with the fields of one entry")
    return entry
