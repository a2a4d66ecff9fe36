"""The options that the engine of the runtime image has, by name: a typo is found before a node is paid for. Data, read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The table of one version. Names have dashes, without the leading ones."""

    version: str
    source: str
    names: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether the engine knows it; switches also have a form that begins with `no-`."""
        return name in self.names or name.removeprefix("no-") in self.names

    def nearest(self, name: str) -> str:
        """The option that was probably meant; "" when none is near."""
        return next(iter(get_close_matches(name, sorted(self.names), 1)), "")


@cache
def load_engine_options() -> EngineOptions:
    """The built-in table. The same immutable object on every call."""
    file = resources.files("kaito_controller.catalog") / "data" / "engine_options.yaml"
    found = yaml.safe_load(file.read_text("utf-8"))
    names: Iterable[str] = (*found["engine"], *found["frontend"])
    return EngineOptions(found["version"], found["source"], frozenset(names))
