"""Read raw objects into typed models without ever failing: what does not fit is left out and named.

The API server checks the same schema, but an object may be older than the CRD, or newer than this program, or written while the
CRD was absent. A controller that raises on such an object would retry it for ever and say nothing to its author.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kaito_controller.api.violation import Violation, quote

M = TypeVar("M", bound=BaseModel)

MAX_DEPTH = 128
"""Levels of nesting of a field that are read. A pod has some fifteen."""
_MAX_ROUNDS = 50
_MAX_REPORTED = 20


def read_leniently(model: type[M], obj: Any) -> tuple[M, tuple[Violation, ...]]:
    """`obj` as `model`, and what had to be left out of it to get there."""
    rest: Any = dict(obj) if isinstance(obj, Mapping) else {}
    deep = [str(key) for key, value in rest.items() if is_deeper_than(value, MAX_DEPTH)]
    if deep:
        told = f"is nested deeper than {MAX_DEPTH} levels; no field of Kubernetes is"
        kept, found = read_leniently(model, {key: value for key, value in rest.items() if key not in deep})
        return kept, (*(Violation(key, told, unit=key) for key in deep), *found)[:_MAX_REPORTED]
    violations: list[Violation] = []
    for round_number in range(_MAX_ROUNDS):
        try:
            return model.model_validate(rest, by_alias=True, by_name=False), tuple(violations[:_MAX_REPORTED])
        except ValidationError as error:
            if round_number == 0:
                rest = copy.deepcopy(rest)
            for detail in reversed(error.errors(include_url=False, include_context=False)):
                violations.append(_to_violation(detail))
                _drop(rest, list(detail["loc"]), missing=detail["type"] == "missing")
    return model.model_validate({}), tuple(violations[:_MAX_REPORTED])


def is_deeper_than(value: Any, levels: int) -> bool:
    """Whether maps and lists are nested in `value` beyond `levels`; without recursion, since that is what it guards."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return bool(level)


def _to_violation(detail: Mapping[str, Any]) -> Violation:
    path = field_path(detail["loc"])
    if detail["type"] == "missing":
        return Violation(path, "is required", unit=_parent(path))
    problem = detail["msg"][:1].lower() + detail["msg"][1:]
    value = detail["input"]
    shown = quote(value) if isinstance(value, str | int | float | bool) else f"a value of type {type(value).__name__}"
    return Violation(path, f"{shown} does not fit the schema: {problem}", unit=path)


def field_path(loc: tuple[int | str, ...]) -> str:
    """`("inference", "adapters", 0, "source")` as `inference.adapters[0].source`."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _drop(root: Any, loc: list[int | str], *, missing: bool) -> None:
    """Remove the value at `loc`; a missing child cannot be supplied, so its parent goes."""
    if missing:
        loc = loc[:-1]
    parent = root
    for index, part in enumerate(loc[:-1]):
        child = _child(parent, part)
        if child is None:
            loc = loc[: index + 1]
            break
        parent = child
    if not loc:
        root.clear()
    elif isinstance(parent, dict):
        parent.pop(loc[-1], None)
    elif isinstance(parent, list) and isinstance(loc[-1], int) and loc[-1] < len(parent):
        del parent[loc[-1]]
    else:
        root.pop(loc[0], None)


def _child(parent: Any, part: int | str) -> Any:
    if isinstance(parent, dict):
        return parent.get(part)
    if isinstance(parent, list) and isinstance(part, int) and part < len(parent):
        return parent[part]
    return None
