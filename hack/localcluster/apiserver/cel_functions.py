"""Kubernetes' CEL extension libraries (strings, lists, regex, quantity) and the methods of optionals, as Python functions.

In `cel-python` a method is a function whose first argument is the receiver. Imported on first use of CEL only.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import re2  # type: ignore[import-untyped]
from celpy import celtypes as ct

from hack.localcluster.apiserver.cel_values import Quantity
from hack.localcluster.apiserver.quantity import parse_quantity


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value)
    return int(value) if isinstance(value, int) and not isinstance(value, ct.BoolType) else value


def _returns(kind: Callable[[Any], Any], function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: kind(function(*map(_plain, values)))


_text = functools.partial(_returns, ct.StringType)
_number = functools.partial(_returns, ct.IntType)
_truth = functools.partial(_returns, ct.BoolType)


def _texts(parts: Any) -> Any:
    return ct.ListType([ct.StringType(part) for part in parts])


def _split(value: str, separator: str, limit: int = -1) -> Any:
    if limit == 0:
        return _texts([])
    return _texts(list(value) if separator == "" else str(value).split(str(separator), limit - 1 if limit > 0 else -1))


def _find(value: str, pattern: str) -> str:
    found = re2.search(pattern, value)
    return found.group(0) if found else ""


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, start)
    return next((index for index, item in enumerate(value) if item == wanted), -1)


def _last_index_of(value: Any, wanted: Any) -> int:
    if isinstance(value, str):
        return value.rfind(wanted)
    return max((index for index, item in enumerate(value) if item == wanted), default=-1)


def _compare(left: Any, right: Any) -> int:
    return int(left > right) - int(left < right)


def _is_quantity(value: Any) -> bool:
    try:
        parse_quantity(str(value))
    except ValueError:
        return False
    return True


def _format(template: str, values: Any) -> str:
    """`"%s is %d".format([...])`, with the verbs that print a value as it is."""
    rest = iter(values)
    return "%".join(_filled(part, rest) for part in template.split("%%"))


def _filled(template: str, values: Any) -> str:
    head, *parts = template.split("%")
    return head + "".join(str(next(values)) + part[1:] for part in parts)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lowerAscii": _text(str.lower),
    "upperAscii": _text(str.upper),
    "trim": _text(str.strip),
    "replace": _text(str.replace),
    "substring": _text(lambda value, start, end=None: value[start:end]),
    "charAt": _text(lambda value, index: value[index : index + 1]),
    "join": _text(lambda values, separator="": separator.join(map(str, values))),
    "format": _text(_format),
    "reverse": _text(lambda value: value[::-1]),
    "split": _split,
    "find": _text(_find),
    "findAll": lambda value, pattern: _texts(found.group(0) for found in re2.finditer(str(pattern), str(value))),
    "indexOf": _number(_index_of),
    "lastIndexOf": _number(_last_index_of),
    "isSorted": _truth(lambda values: all(left <= right for left, right in itertools.pairwise(values))),
    "sum": lambda values: functools.reduce(lambda left, right: left + right, values, ct.IntType(0)),
    "min": lambda *values: min(values[0] if len(values) == 1 else values),
    "max": lambda *values: max(values[0] if len(values) == 1 else values),
    "quantity": lambda value: Quantity(parse_quantity(str(value))),
    "isQuantity": _truth(_is_quantity),
    "isGreaterThan": _truth(lambda left, right: left > right),
    "isLessThan": _truth(lambda left, right: left < right),
    "compareTo": _number(_compare),
    "sign": _number(lambda value: _compare(value, 0)),
    "isInteger": _truth(lambda value: value == int(value)),
    "asInteger": _number(int),
    "add": lambda left, right: Quantity(left + right),
    "sub": lambda left, right: Quantity(left - right),
    "hasValue": lambda value: ct.BoolType(value.value is not None),
    "value": lambda value: value.get(),
    "orValue": lambda value, other: other if value.value is None else value.value,
}
