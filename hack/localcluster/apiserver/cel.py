"""CEL as Kubernetes speaks it: expressions compiled once, JSON turned into CEL values by schema, Kubernetes' extra functions.

The language itself is `cel-python`. It is imported on first use, because its parser takes a quarter of a second to load.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from hack.localcluster.apiserver.cel_values import CelError, Optional
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.schema import Schema

_RESERVED_WORDS = "true false null in as break const continue else for function if import let loop package namespace return var void while"
_RESERVED = frozenset(_RESERVED_WORDS.split())


def lazy_map(sources: Mapping[str, Callable[[], Any]]) -> Any:
    """A CEL map whose values are computed when an expression first asks for them: the `variables` of an admission policy."""
    from celpy import celtypes

    class Lazy(celtypes.MapType):
        def __getitem__(self, name: Any) -> Any:
            source = remaining.pop(str(name), None)
            if source is not None:
                super().__setitem__(name, source())
            return super().__getitem__(name)

        def get(self, name: Any, default: Any = None) -> Any:
            try:
                return self[name]
            except KeyError:
                return default

    remaining = dict(sources)
    return Lazy({celtypes.StringType(name): None for name in sources})


@functools.lru_cache(maxsize=4096)
def program(expression: str) -> Callable[[Mapping[str, Any]], Any]:
    """The evaluator of an expression over CEL values; CelError if it does not parse."""
    from celpy.celparser import CELParseError
    from celpy.evaluation import CELEvalError

    from hack.localcluster.apiserver.cel_functions import FUNCTIONS

    environment = _environment()
    try:
        tree = environment.compile(expression)
    except CELParseError as error:
        raise CelError(f"compilation failed: {error}") from error
    _check_functions(tree)
    runner = environment.program(tree, functions=FUNCTIONS)

    def evaluate(bindings: Mapping[str, Any]) -> Any:
        try:
            return runner.evaluate(dict(bindings))
        except CELEvalError as error:
            raise CelError(_root_text(error)) from error

    return evaluate


_MACROS = frozenset({"has", "all", "exists", "exists_one", "map", "filter", "dyn"})


def _check_functions(tree: Any) -> None:
    from celpy.evaluation import base_functions

    from hack.localcluster.apiserver.cel_functions import FUNCTIONS

    for node in tree.find_pred(lambda found: found.data in ("ident_arg", "member_dot_arg", "dot_ident_arg")):
        name = next(str(child) for child in node.children if getattr(child, "type", "") == "IDENT")
        if name not in _MACROS and name not in FUNCTIONS and name not in base_functions:
            raise CelError(
                f"compilation failed: undeclared reference to '{name}' (or a function that localcluster does not know)"
            )


def _root_text(error: BaseException) -> str:
    texts = [str(part) for part in error.args if isinstance(part, str)]
    return (texts[0] if texts else str(error))[:300]


@functools.cache
def _environment() -> Any:
    import celpy

    return celpy.Environment(runner_class=celpy.InterpretedRunner)


def to_cel(value: Any, schema: Schema | None = None) -> Any:
    """JSON as CEL values. With a schema, numbers of type `number` become doubles, and fields get their escaped CEL names."""
    from celpy import celtypes

    if value is None or isinstance(value, Optional):
        return value
    if isinstance(value, bool):
        return celtypes.BoolType(value)
    if isinstance(value, int | float):
        is_double = isinstance(value, float) or (schema is not None and schema.node.get("type") == "number")
        return celtypes.DoubleType(value) if is_double else celtypes.IntType(value)
    if isinstance(value, str):
        if schema is not None and schema.node.get("format") == "date-time":
            return celtypes.TimestampType(value)
        return celtypes.StringType(value)
    if isinstance(value, list):
        items = schema.items() if schema else None
        return celtypes.ListType([to_cel(item, items) for item in value])
    entries = {}
    for name, entry in value.items():
        child = schema.field(name) if schema else None
        key = escaped(name) if schema is not None and name in schema.fields else name
        entries[celtypes.StringType(key)] = to_cel(entry, child)
    return celtypes.MapType(entries)


def escaped(name: str) -> str:
    """A property name as CEL rules must spell it (reserved words, dots, dashes, slashes)."""
    if name in _RESERVED:
        return f"__{name}__"
    if "__" in name:
        name = name.replace("__", "__underscores__")
    return name.replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")


def fields_of(obj: Object) -> Object:
    """The metadata that rules at the root of a custom resource may see."""
    metadata = obj.get("metadata") or {}
    return {name: metadata[name] for name in ("name", "generateName") if name in metadata}
