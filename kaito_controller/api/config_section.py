"""One section of a YAML document in a ConfigMap, as users write their parameters: read once for every kind of configuration. Pure.

Admission cannot see a ConfigMap, so whatever is wrong with it must become a sentence with a path instead of an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaito_controller.api.violation import Violation
from kaito_controller.catalog.plain_yaml import PlainYamlError, load_plain_yaml


def read_section(
    data: Mapping[str, str] | None, key: str, section: str, *, most_characters: int, wanted: str
) -> tuple[dict[str, Any], dict[str, Any], list[Violation]]:
    """The document under `data[key]`, the map under its `section`, and what keeps them from being read; both are empty then.

    `wanted`: what the section must hold, to be read after "must hold".
    """
    text = (data or {}).get(key)
    if not isinstance(text, str):
        return {}, {}, [Violation(f"data[{key}]", f"is missing; put the parameters under the key {key}")]
    if len(text) > most_characters:
        return {}, {}, [Violation(f"data[{key}]", f"is longer than {most_characters} characters; keep parameters only")]
    try:
        document = load_plain_yaml(text)
    except PlainYamlError as error:
        return {}, {}, [Violation(f"data[{key}]", str(error))]
    found = document.get(section) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(found, dict):
        return {}, {}, [Violation(f"data[{key}].{section}", f"must hold {wanted}")]
    return document, found, []
