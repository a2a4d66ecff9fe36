"""The frozen classes of the catalogue as plain JSON values, and back. Pure; it knows none of the classes.

The shipped catalogue is kept in this form (`data/compiled.json`), so that a command that starts, answers and ends need not read YAML and
check a schema that a test has checked already. What users write is never read here: it goes through `data_files.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import MappingProxyType, NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """`value` as JSON writes it. Fields that have their default are left out."""
    if is_dataclass(value):
        given = {f.name: (getattr(value, f.name), _default(f)) for f in fields(value)}
        return {name: to_plain(content) for name, (content, default) in given.items() if content != default}
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, tuple) else value


def from_plain(kind: type[T], value: Mapping[str, Any]) -> T:
    """The frozen dataclass `kind` that `to_plain` has written. Nothing is checked."""
    hints = _hints(kind)  # type: ignore[arg-type]  # mypy takes a class with a variable for unhashable
    return kind(**{name: _built(hints[name], item) for name, item in value.items()})


def _built(kind: Any, value: Any) -> Any:
    arguments = [argument for argument in get_args(kind) if argument is not NoneType]
    if isinstance(value, list):
        return tuple(_built(arguments[0], item) for item in value)
    if not isinstance(value, dict):
        return value
    if get_origin(kind) is Mapping:
        return MappingProxyType({key: _built(arguments[1], item) for key, item in value.items()})
    return from_plain(arguments[0] if arguments else kind, value)


@cache
def _hints(kind: type[Any]) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default
