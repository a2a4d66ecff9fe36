"""Structural schemas at work: pruning, defaulting and validation of custom and built-in objects, with Kubernetes' causes.

Pruning and defaulting change the value in place. Validation ratchets as the real server does: a value that the update does not change
is not judged again, so that a schema that became stricter does not lock old objects.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import orjson
import re2  # type: ignore[import-untyped]

from hack.localcluster.apiserver.errors import Cause, bad_request
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.schema import Schema

MISSING: Any = object()
"""In place of an old value: there is none."""
_ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def prune(value: Any, schema: Schema, *, old: Any = MISSING, root: bool = False, path: str = "") -> Iterator[str]:
    """Remove what the schema does not know; yields the paths removed. What equals `old` was pruned before."""
    if old is not MISSING and value == old:
        return
    if isinstance(value, list):
        items = schema.items()
        for index, item in enumerate(value if items else ()):
            assert items is not None
            yield from prune(item, items, path=f"{path}[{index}]")
    elif isinstance(value, dict):
        keeps = schema.keeps_unknown
        embedded = root or schema.node.get("x-kubernetes-embedded-resource")
        for name in list(value):
            if embedded and name in _ROOT_FIELDS:
                continue
            child, where = schema.field(name), f"{path}.{name}" if path else name
            if child is not None:
                was = old.get(name, MISSING) if isinstance(old, dict) else MISSING
                yield from prune(value[name], child, old=was, path=where)
            elif not keeps:
                del value[name]
                yield where


def report_unknown(kind: ResourceType, unknown: Iterable[str], write: Write) -> None:
    """What becomes of fields that were pruned: an error, warnings or nothing, as the caller's fieldValidation says."""
    found = [f'unknown field "{path}"' for path in unknown]
    if found and write.field_validation == "Strict":
        text = ", ".join(found)
        message = (
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: {text}'
        )
        raise bad_request(message)
    if write.field_validation == "Warn":
        write.warnings.extend(found)


def apply_defaults(value: Any, schema: Schema) -> None:
    """Fill in defaults, after dropping nulls where null means nothing."""
    if isinstance(value, list):
        items = schema.items()
        for item in value if items else ():
            assert items is not None
            apply_defaults(item, items)
        return
    if not isinstance(value, dict):
        return
    for name in [name for name, entry in value.items() if entry is None]:
        child = schema.field(name)
        if child is not None and not child.node.get("nullable"):
            del value[name]
    for name, child in schema.fields.items():
        if name not in value and "default" in child.node:
            value[name] = orjson.loads(orjson.dumps(child.node["default"]))
    for name, entry in value.items():
        child = schema.field(name)
        if child is not None:
            apply_defaults(entry, child)


def validate(value: Any, schema: Schema, *, old: Any = MISSING, path: str = "") -> Iterator[Cause]:
    """The causes for which a value does not fit."""
    if old is not MISSING and value == old:
        return
    node = schema.node
    if value is None and node.get("nullable"):
        return
    if not _has_type(value, node):
        yield _type_cause(value, node, path)
        return
    yield from _scalar_causes(value, node, path)
    if isinstance(value, dict):
        yield from _object_causes(value, schema, old, path)
    elif isinstance(value, list):
        yield from _list_causes(value, schema, old, path)
    yield from _logic_causes(value, node, path)


def _has_type(value: Any, node: Object) -> bool:
    if node.get("x-kubernetes-int-or-string"):
        accepted: tuple[type, ...] = (str, int, float) if node.get("x-localcluster-quantity") else (str, int)
        return isinstance(value, accepted) and not isinstance(value, bool)
    wanted = node.get("type")
    if not wanted:
        return True
    if isinstance(value, bool):
        return bool(wanted == "boolean")
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(wanted, (object,)))


def kind_of(value: Any) -> str:
    """The OpenAPI name of a JSON value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def _type_cause(value: Any, node: Object, path: str) -> Cause:
    wanted = node.get("type") or "integer,string"
    found = kind_of(value)
    text = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause(path, text, "FieldValueTypeInvalid")


def quoted(value: Any) -> str:
    """A value as Go's `field.Error` shows it."""
    text: str = orjson.dumps(value).decode()
    return text


def _scalar_causes(value: Any, node: Object, path: str) -> Iterator[Cause]:
    allowed = node.get("enum")
    if allowed and value not in allowed:
        listed = ", ".join(quoted(item) for item in allowed if item is not None)
        yield Cause(path, f"Unsupported value: {quoted(value)}: supported values: {listed}", "FieldValueNotSupported")
    if isinstance(value, str):
        yield from _string_causes(value, node, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_causes(value, node, path)


def _string_causes(value: str, node: Object, path: str) -> Iterator[Cause]:
    if len(value) > node.get("maxLength", len(value)):
        yield Cause(path, f"Too long: may not be more than {node['maxLength']} bytes", "FieldValueTooLong")
    if len(value) < node.get("minLength", 0):
        yield _body_cause(path, value, f"should be at least {node['minLength']} chars long")
    pattern = node.get("pattern")
    if pattern and not compiled(pattern).search(value):
        yield _body_cause(path, value, f"should match '{pattern}'")
    check = _FORMATS.get(node.get("format", ""))
    if check and not check(value):
        yield _body_cause(path, value, f"must be of type {node['format']}: {quoted(value)}")


def _number_causes(value: float, node: Object, path: str) -> Iterator[Cause]:
    yield from _boundary_causes(node, path)
    if "minimum" in node:
        bound, exclusive = node["minimum"], node.get("exclusiveMinimum")
        if value < bound or (exclusive and value == bound):
            yield _body_cause(path, value, f"should be greater than {'' if exclusive else 'or equal to '}{bound}")
    if "maximum" in node:
        bound, exclusive = node["maximum"], node.get("exclusiveMaximum")
        if value > bound or (exclusive and value == bound):
            yield _body_cause(path, value, f"should be less than {'' if exclusive else 'or equal to '}{bound}")
    if node.get("multipleOf") and value % node["multipleOf"]:
        yield _body_cause(path, value, f"should be a multiple of {node['multipleOf']}")
    low, high = _RANGES.get(node.get("format", ""), (value, value))
    if not low <= value <= high:
        yield _body_cause(path, value, f"must be of type {node['format']}: {quoted(value)}")


def _boundary_causes(node: Object, path: str) -> Iterator[Cause]:
    """A real server reads a bound as a float and writes it out again: one that is then no number of its format refuses every value."""
    if node.get("type") != "integer":
        return
    low, high = _RANGES.get(node.get("format", ""), _RANGES["int64"])
    wanted = f"with format {node['format']}" if node.get("format") else "(default format)"
    for name in ("minimum", "maximum"):
        if name in node and not low <= int(Decimal(repr(float(node[name])))) <= high:
            text = f"{name.capitalize()} boundary value must be of type integer {wanted} in {path}"
            yield Cause("<nil>", f'Invalid value: "": {text}')


def _body_cause(path: str, value: Any, text: str) -> Cause:
    return Cause(path, f"Invalid value: {quoted(value)}: {path} in body {text}")


def _object_causes(value: Object, schema: Schema, old: Any, path: str) -> Iterator[Cause]:
    node = schema.node
    for name in schema.required:
        if name not in value:
            yield Cause(f"{path}.{name}" if path else name, "Required value", "FieldValueRequired")
    if len(value) < node.get("minProperties", 0):
        yield _body_cause(path, len(value), f"should have at least {node['minProperties']} properties")
    if len(value) > node.get("maxProperties", len(value)):
        text = f"Too many: {len(value)}: must have at most {node['maxProperties']} items"
        yield Cause(path, text, "FieldValueTooMany")
    for name, entry in value.items():
        child = schema.field(name)
        if child is not None and not (not path and name in _ROOT_FIELDS):
            was = old.get(name, MISSING) if isinstance(old, dict) else MISSING
            yield from validate(entry, child, old=was, path=f"{path}.{name}" if path else name)


def _list_causes(value: list[Any], schema: Schema, old: Any, path: str) -> Iterator[Cause]:
    node, items = schema.node, schema.items()
    if len(value) < node.get("minItems", 0):
        yield _body_cause(path, len(value), f"should have at least {node['minItems']} items")
    if len(value) > node.get("maxItems", len(value)):
        yield Cause(path, f"Too many: {len(value)}: must have at most {node['maxItems']} items", "FieldValueTooMany")
    seen: set[Any] = set()
    before = correlated(old, schema)
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        if items is not None:
            yield from validate(item, items, old=before(item), path=where)
        if schema.list_type != "atomic":
            key = item_key(item, schema)
            if key in seen:
                shown = (
                    {name: item.get(name) for name in schema.list_keys}
                    if schema.list_keys and isinstance(item, dict)
                    else item
                )
                yield Cause(where, f"Duplicate value: {quoted(shown)}", "FieldValueDuplicate")
            seen.add(key)


def item_key(item: Any, schema: Schema) -> Any:
    """What identifies an item of a `map` or `set` list."""
    if not schema.list_keys or not isinstance(item, dict):
        return orjson.dumps(item)
    fields = schema.items()
    found = []
    for name in schema.list_keys:
        child = fields.field(name) if fields else None
        found.append(orjson.dumps(item.get(name, child.node.get("default") if child else None)))
    return tuple(found)


def correlated(old: Any, schema: Schema) -> Callable[[Any], Any]:
    """For an item of a list, its older self; there is none in atomic lists."""
    if schema.list_type != "map" or not isinstance(old, list):
        return lambda _: MISSING
    before = {item_key(item, schema): item for item in old}
    return lambda item: before.get(item_key(item, schema), MISSING)


def _logic_causes(value: Any, node: Object, path: str) -> Iterator[Cause]:
    for part in node.get("allOf") or ():
        yield from validate(value, Schema(part), path=path)
    any_of = () if node.get("x-kubernetes-int-or-string") else node.get("anyOf") or ()
    if any_of and not any(_fits(value, part) for part in any_of):
        yield Cause(path, f'Invalid value: {quoted(value)}: "{path}" must validate at least one schema (anyOf)')
    if node.get("oneOf"):
        count = sum(1 for part in node["oneOf"] if _fits(value, part))
        if count != 1:
            found = "none valid" if count == 0 else f"{count} valid alternatives"
            text = f'"{path}" must validate one and only one schema (oneOf). Found {found}'
            yield Cause(path, f"Invalid value: {quoted(value)}: {text}")
    if node.get("not") and _fits(value, node["not"]):
        yield Cause(path, f'Invalid value: {quoted(value)}: "{path}" must not validate the schema (not)')


def _fits(value: Any, node: Object) -> bool:
    return next(validate(value, Schema(node), path="x"), None) is None


@functools.lru_cache(maxsize=2048)
def compiled(pattern: str) -> Any:
    """A pattern in the dialect of Kubernetes (RE2)."""
    return re2.compile(pattern)


def _is_date_time(text: str) -> bool:
    try:
        return datetime.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


_FORMATS: dict[str, Callable[[str], bool]] = {"date-time": _is_date_time}
