"""The part of JSONPath that printer columns use: fields, `['quoted']`, indexes, `[*]` and `[?(@.type=="Ready")]` filters."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

_TOKEN = re.compile(
    r"""\.(?P<field>(?:[^.\[\\]|\\.)+)|\[(?P<index>-?\d+)\]|\[(?P<all>\*)\]|\['(?P<quoted>[^']*)'\]|"""
    r"""\[\?\(@\.(?P<key>[\w.-]+)\s*(?P<operator>==|!=)\s*["'](?P<wanted>[^"']*)["']\)\]"""
)
Step = Callable[[Any], list[Any]]


def find(obj: Any, path: str) -> list[Any]:
    """All values at a path, in order; none when the path leads nowhere."""
    values = [obj]
    for step in _steps(path):
        values = [found for value in values for found in step(value)]
    return values


@functools.lru_cache(maxsize=512)
def _steps(path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    place = 0
    text = path if path.startswith((".", "[")) else f".{path}"
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ValueError(f"JSONPath {path!r}: localcluster does not understand {text[place:]!r}")
        steps.append(_step(token))
        place = token.end()
    return tuple(steps)


def _step(token: re.Match[str]) -> Step:
    if token["field"] is not None or token["quoted"] is not None:
        name = (token["field"] or token["quoted"]).replace("\\.", ".")
        return lambda value: [value[name]] if isinstance(value, dict) and name in value else []
    if token["index"] is not None:
        index = int(token["index"])
        return lambda value: value[index:][:1] if isinstance(value, list) else []
    if token["all"] is not None:
        return lambda value: (
            list(value) if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
        )
    key, wanted, equal = token["key"], token["wanted"], token["operator"] == "=="

    def chosen(value: Any) -> list[Any]:
        items = value if isinstance(value, list) else []
        return [item for item in items if isinstance(item, dict) and (str(item.get(key)) == wanted) == equal]

    return chosen
