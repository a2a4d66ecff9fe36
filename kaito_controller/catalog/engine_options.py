"""The options that the engine of the runtime image has, and the values that each takes: what it would refuse is found before a node is
paid for. Data, read once.

Values are judged only as far as the engine's own parser does it: a number where it reads a number, one of its words where it has a list.
What the engine checks later (whether a model has such a layer, say) is not known here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import yaml

Kind = str | list[str]
"""`switch`, `whole`, `size`, `context`, `number`, `json`, `many`, `optional`, `text`, or the words that are allowed."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIZE = re.compile(r"\d+(\.\d+)?[kmgtKMGT]?")
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The table of one version. Names have dashes, without the leading ones."""

    version: str
    source: str
    kinds: Mapping[str, Kind]

    def has(self, name: str) -> bool:
        """Whether the engine knows it; switches also have a form that begins with `no-`."""
        return name in self.kinds or self.kinds.get(name.removeprefix("no-")) == "switch"

    def nearest(self, name: str) -> str:
        """The option that was probably meant; "" when none is near."""
        return next(iter(get_close_matches(name, sorted(self.kinds), 1)), "")

    def has_words(self, name: str) -> bool:
        """Whether the engine takes one word of a list."""
        return isinstance(self.kinds.get(name), list)

    def takes(self, name: str, value: Any) -> str:
        """What the engine wants for `name`, to be read after "must be"; "" when `value` is that."""
        kind = self.kinds.get(name, "switch")
        if isinstance(kind, list):
            return "" if _word(value) in kind or str(value) in kind else f"one of {', '.join(kind)}"
        wanted, fits = _FORMS[kind]
        return "" if fits(value) else wanted


def _word(value: Any) -> str:
    """Some lists are read in any letter case and with dashes."""
    return str(value).lower().replace("-", "_")


def _is_json(value: Any) -> bool:
    if isinstance(value, dict | list):
        return True
    try:
        json.loads(str(value))
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return value is not None and not isinstance(value, bool | dict)


_FORMS: Mapping[str, tuple[str, Callable[[Any], bool]]] = MappingProxyType(
    {
        "switch": ("true or false", lambda v: v is None or str(v).lower() in ("true", "false", "")),
        "whole": ("a whole number", lambda v: not isinstance(v, bool) and _WHOLE.fullmatch(str(v)) is not None),
        "size": (
            "a number, also with K, M or G",
            lambda v: not isinstance(v, bool) and _SIZE.fullmatch(str(v)) is not None,
        ),
        "context": (
            "a number, also with K, M or G, or auto",
            lambda v: not isinstance(v, bool) and (str(v) in ("auto", "-1") or _SIZE.fullmatch(str(v)) is not None),
        ),
        "number": ("a number", _is_number),
        "json": ("a map, or JSON", _is_json),
        "many": ("a value or a list of values", _is_plain),
        "optional": ("true, false or a value", lambda v: not isinstance(v, dict | list)),
        "text": ("a value", lambda v: v is not None and not isinstance(v, bool)),
    }
)


@cache
def load_engine_options() -> EngineOptions:
    """The built-in table. The same immutable object on every call."""
    file = resources.files("kaito_controller.catalog") / "data" / "engine_options.yaml"
    found = yaml.load(file.read_text("utf-8"), Loader=_LOADER)  # noqa: S506  # both are safe loaders
    return EngineOptions(found["version"], found["source"], MappingProxyType({**found["engine"], **found["frontend"]}))
