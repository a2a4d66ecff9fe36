"""Cached objects are shared: how to copy one, and how a test finds who writes into one.

In production the caches hand out the very dicts they keep, because copying on each read is what makes large caches slow.
With `CONTROLLER_RUNTIME_DETECT_MUTATION=1` every cached object is made of dicts and lists that refuse to change, so the culprit
fails at the line that writes. Reading, comparing and JSON-encoding work as with plain ones.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn, cast

import orjson

from controller_runtime.resources import Object

DETECT_VARIABLE = "CONTROLLER_RUNTIME_DETECT_MUTATION"


def copy_object(obj: Object) -> Object:
    """A private, plain, deep copy that may be changed. Through JSON: about eight times faster than `copy.deepcopy`."""
    return cast(Object, orjson.loads(orjson.dumps(obj)))


def detects_mutation() -> bool:
    """True when the environment asks for the detector."""
    return os.environ.get(DETECT_VARIABLE, "") not in ("", "0", "false")


def freeze(value: Any) -> Any:
    """The same JSON value, refusing every change at every depth."""
    if isinstance(value, dict):
        return FrozenDict({k: freeze(v) for k, v in value.items()})
    if isinstance(value, list):
        return FrozenList([freeze(v) for v in value])
    return value


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(
        "this object belongs to a shared cache and must not be changed; take controller_runtime.cache.mutation.copy_object(obj)"
    )


def _plain_copy(self: Any, _memo: Any = None) -> Any:
    return orjson.loads(orjson.dumps(self))


class FrozenDict(dict[str, Any]):
    """A dict of a cached object in test mode."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
    __deepcopy__ = _plain_copy


class FrozenList(list[Any]):
    """A list of a cached object in test mode."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = extend = insert = remove = pop = clear = sort = reverse = _refuse
    __deepcopy__ = _plain_copy
