"""Workspaces for tests: good ones, and a table of bad variants with the sentence that each must get.

`bad.yaml` lists changes to a good Workspace: dotted paths (with `[0]` for list items) to new values, null to remove. A variant with
`then` is created as it stands and refused when the changes of `then` are applied to it.
"""

from __future__ import annotations

import copy
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Variant:
    """One bad Workspace."""

    name: str
    good: Object
    bad: Object
    sentence: str
    is_update: bool
    schema_only: bool
    """Refused by the schema, in the API server's own words, which differ from ours."""


@functools.cache
def good_workspaces() -> dict[str, Object]:
    """Name of the situation → a Workspace that must be accepted."""
    return yaml.load((HERE / "good.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)


def good(name: str) -> Object:
    """A private copy of one of them."""
    return copy.deepcopy(good_workspaces()[name])


def variants() -> list[Variant]:
    """The table of bad ones."""
    return [_variant(entry) for entry in yaml.load((HERE / "bad.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)]


def _variant(entry: Object) -> Variant:
    base = good(entry["base"])
    base["metadata"]["name"] = "bad-" + re.sub("[^a-z0-9]+", "-", entry["name"].lower())[:40].strip("-")
    before = changed(base, entry.get("set", {}))
    after = changed(before, entry["then"]) if "then" in entry else before
    return Variant(entry["name"], before, after, entry["sentence"], "then" in entry, entry.get("schema", False))


def changed(obj: Object, changes: Object) -> Object:
    """A copy of `obj` with the values at these paths replaced; null removes."""
    result = copy.deepcopy(obj)
    for path, value in changes.items():
        _set(result, [p for p in re.split(r"\.(?![^<]*>)|(?=\[)", path) if p], copy.deepcopy(value))
    return result


def _set(node: Any, parts: list[str], value: Any) -> None:
    for part in parts[:-1]:
        node = node[int(part[1:-1])] if part.startswith("[") else node.setdefault(part.strip("<>"), {})
    last = parts[-1]
    if last.startswith("["):
        node[int(last[1:-1])] = value
    elif value is None:
        node.pop(last.strip("<>"), None)
    else:
        node[last.strip("<>")] = value
