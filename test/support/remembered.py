"""What a running program remembers: the sizes of all its tables, by class and attribute, found by walking from an object.

Walked are instances of our packages, plain containers, bound methods and closures. What a test brings (clients, caches, worlds) is left
out, because it holds the cluster and not what the program thinks of it.
"""

from __future__ import annotations

import types
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from typing import Any

OURS = ("controller_runtime.", "gpu_provisioner.", "kaito_controller.")
CONTAINERS = (dict, list, set, frozenset, tuple, deque, OrderedDict)
NOT_MEMORY = (
    "controller_runtime.client",
    "controller_runtime.cache.informer",
    "kaito_controller.catalog",
    "kaito_controller.settings",
)


def tables(root: object) -> Counter[str]:
    """`Class.attribute` → entries, added up over all instances; deeper containers count for the attribute that holds them."""
    found: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        where, obj = waiting.pop()
        if id(obj) in seen:
            continue
        seen.add(id(obj))
        if isinstance(obj, CONTAINERS):
            found[where] += len(obj)
            waiting += [(where, child) for child in _children(obj)]
        elif isinstance(obj, types.MethodType):
            waiting.append((where, obj.__self__))
        elif isinstance(obj, types.FunctionType):
            waiting += [(where, _content(cell)) for cell in obj.__closure__ or ()]
        elif type(obj).__module__.startswith(OURS) and not type(obj).__module__.startswith(NOT_MEMORY):
            waiting += [(f"{type(obj).__name__}.{name}", value) for name, value in _attributes(obj)]
    return found


def grown(before: Counter[str], after: Counter[str]) -> dict[str, int]:
    """The tables that hold more than before."""
    return {name: after[name] - before[name] for name in after if after[name] > before[name]}


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _children(obj: Any) -> Iterator[object]:
    if isinstance(obj, Mapping):
        yield from list(obj.keys())
        yield from list(obj.values())
    else:
        yield from list(obj)


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    yield from list(getattr(obj, "__dict__", {}).items())
    for cls in type(obj).__mro__:
        slots = getattr(cls, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(obj, name):
                yield name, getattr(obj, name)
