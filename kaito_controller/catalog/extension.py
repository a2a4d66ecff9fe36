"""Presets and instance types that users add at run time, through a ConfigMap.

One key per entry, `preset.<name>.yaml` or `sku.<name>.yaml`, with the schema of the data files. A broken entry is reported and
left out; the others count. An entry replaces a built-in one of the same name. Keys of any other form are not ours to judge: the
admission policy keeps flat ones in the same ConfigMap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kaito_controller.catalog.loader import CatalogError, instance_type_from, preset_from
from kaito_controller.catalog.model import Catalog, InstanceType, Preset
from kaito_controller.catalog.plain_yaml import PlainYamlError, load_plain_yaml

_KEY = re.compile(r"(preset|sku)\.(.+)\.yaml")
_MAX_ERROR = 1000
_MAX_ENTRY = 64 * 1024


def extend(catalog: Catalog, data: Mapping[str, str]) -> tuple[Catalog, list[str]]:
    """`catalog` plus the entries in `data`, and one sentence for each entry that could not be used."""
    presets: dict[str, Preset] = dict(catalog.presets)
    types: dict[str, InstanceType] = dict(catalog.instance_types)
    errors: list[str] = []
    for key in sorted(data):
        match = _KEY.fullmatch(key)
        if not match:
            continue
        try:
            entry = _named_entry(key, match[2], data[key])
            if match[1] == "preset":
                presets[match[2]] = preset_from(entry, key)
            else:
                types[match[2]] = instance_type_from(entry, key)
        except CatalogError as error:
            errors.append(str(error)[:_MAX_ERROR])
    return Catalog(MappingProxyType(presets), MappingProxyType(types)), errors


def _named_entry(key: str, name: str, text: str) -> dict[str, Any]:
    """The entry under `key`; its name and source may be left out, and the name may not contradict the key."""
    if len(text) > _MAX_ENTRY:
        raise CatalogError(f"{key}: {len(text)} characters are too many for one entry; at most {_MAX_ENTRY}")
    try:
        entry = load_plain_yaml(text)
    except PlainYamlError as error:
        raise CatalogError(f"{key}: {error}") from error
    if not isinstance(entry, dict):
        raise CatalogError(f"{key}: must be a mapping with the fields of one entry")
    if entry.get("name", name) != name:
        raise CatalogError(f'{key}: name: must be "{name}", as in the key')
    return {"source": "added at run time", **entry, "name": name}
