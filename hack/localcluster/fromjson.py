"""JSON that came from outside, read into a dataclass: every field by its type, nothing unknown, and errors that name field and value.

pydantic does the work. It is imported on first use, because most clusters are never sent any such JSON, and all of them have to start.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")
STRICT: Mapping[str, str] = {"extra": "forbid"}
"""For `__pydantic_config__` of a dataclass: fields that it does not have are refused."""


def read_as(kind: type[T], data: Any, error: type[ValueError], where: str = "") -> T:
    """`data` as a `kind` (a dataclass, or a list of them); `error` with all that is wrong, each as `<where>.<field>: <value>: <why>`."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as found:
        raise error("; ".join(_explained(entry, where) for entry in found.errors())) from found


def _explained(entry: Mapping[str, Any], where: str) -> str:
    place = ".".join(str(part) for part in (where, *entry["loc"]) if part != "")
    return f"{place}: {entry['input']!r}: {entry['msg']}".removeprefix(": ")
