"""Presets and instance types that users add at run time, through a ConfigMap.

One key per entry, `preset.<name>.yaml` or `sku.<name>.yaml`, with the schema of the data files. A broken entry is reported and
left out; the others count. Entries replace built-in ones of the same name.
"""

from __future__ import annotations

from collections.abc import Mapping

from kaito_controller.catalog.model import Catalog


def extend(catalog: Catalog, data: Mapping[str, str]) -> tuple[Catalog, list[str]]:
    """`catalog` plus the entries in `data`, and one sentence for each entry that could not be used."""
    raise NotImplementedError
