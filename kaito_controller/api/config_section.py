"""One section of a YAML document in a ConfigMap, as users write their parameters: read once for every kind of configuration. Pure.

Admission cannot see a ConfigMap, so whatever is wrong with it must become a sentence with a path instead of an exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaito_controller.api.violation import Violation, quote
from kaito_controller.catalog.plain_yaml import PlainYamlError, load_plain_yaml

MOST_CHARACTERS = 32 * 1024
"""Of one configuration; those that are shipped have 2,000. It is read at each look at each Workspace that names it, so its length is
what its author can make the controller work."""


def read_section(
    data: Mapping[str, str] | None, key: str, section: str, *, wanted: str
) -> tuple[dict[str, Any], dict[str, Any], list[Violation]]:
    """The document under `data[key]`, the map under its `section`, and what keeps them from being read; both are empty then.

    `wanted`: what the section must hold, to be read after "must hold".
    """
    text = (data or {}).get(key)
    if not isinstance(text, str):
        return {}, {}, [Violation(f"data[{key}]", f"is missing; put the parameters under the key {key}")]
    if len(text) > MOST_CHARACTERS:
        return {}, {}, [Violation(f"data[{key}]", f"is longer than {MOST_CHARACTERS} characters; keep parameters only")]
    try:
        document = load_plain_yaml(text)
    except PlainYamlError as error:
        return {}, {}, [Violation(f"data[{key}]", str(error))]
    found = document.get(section) if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(found, dict):
        return {}, {}, [Violation(f"data[{key}].{section}", f"must hold {wanted}")]
    odd = next(_not_json(found, f"data[{key}].{section}"), None)
    return (document, found, []) if odd is None else ({}, {}, [odd])


def _not_json(value: Any, path: str) -> Iterator[Violation]:
    """What YAML has and JSON has not: it would be read as something else, or not at all, on its way into the pod."""
    if isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, str):
                yield Violation(path, f"has the key {quote(key)}, which is no text; put it in quotes")
            yield from _not_json(child, f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            yield from _not_json(child, path)
    elif not (value is None or isinstance(value, str | int | float)):
        yield Violation(path, f"is a date, a set or bytes to YAML: {quote(value)}; put it in quotes")
