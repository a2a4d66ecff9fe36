"""Field sets (`fieldsV1`): which fields a value has, which ones two values differ in, and the arithmetic on sets.

A set is the nested dict that travels in `managedFields`: `f:NAME` for fields, `k:{"key":…}` for items of map lists, `v:VALUE` for items
of set lists, `.` for an item itself, `{}` for a leaf. Lists without a type and maps marked atomic are leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.schema import Schema, builtin_root_schema

Fields = dict[str, Any]
Path = tuple[str, ...]
_UNOWNED = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "generateName",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "managedFields",
    }
)


def children(value: Any, schema: Schema | None) -> Iterator[tuple[str, Any, Schema | None]] | None:
    """The parts of a value as (path element, value, schema); None for a leaf."""
    if isinstance(value, dict):
        if schema is not None and schema.atomic:
            return None
        return ((f"f:{name}", entry, schema.field(name) if schema else None) for name, entry in value.items())
    if isinstance(value, list) and schema is not None and schema.list_type in ("map", "set"):
        items = schema.items()
        return ((item_element(item, schema), item, items) for item in value)
    return None


def item_element(item: Any, schema: Schema) -> str:
    """The path element of an item of a `map` or `set` list."""
    if schema.list_type == "set" or not isinstance(item, dict):
        return "v:" + orjson.dumps(item).decode()
    fields = schema.items()
    key = {}
    for name in schema.list_keys:
        child = fields.field(name) if fields else None
        default = (child.node.get("default") if child else None) or ("TCP" if name == "protocol" else None)
        if item.get(name, default) is not None:
            key[name] = item.get(name, default)
    return "k:" + orjson.dumps(key, option=orjson.OPT_SORT_KEYS).decode()


def owned_part(obj: Object, *, part: str) -> Object:
    """What of an object can be owned through the main resource (`part` "" or "all") or its status (`part` "status")."""
    if part == "status":
        return {"status": obj["status"]} if "status" in obj else {}
    found = {
        name: value for name, value in obj.items() if name not in _UNOWNED and not (name == "status" and part != "all")
    }
    metadata = {name: value for name, value in (obj.get("metadata") or {}).items() if name not in _UNOWNED_METADATA}
    found.pop("metadata", None)
    return found | ({"metadata": metadata} if metadata else {})


def root_schema(kind: ResourceType) -> Schema:
    """The schema of a kind's objects: what lists are merged by, and how values become CEL."""
    return kind.custom.root if kind.custom else builtin_root_schema(kind.api_version, kind.kind)


def field_set(value: Any, schema: Schema | None) -> Fields:
    """All fields of a value."""
    parts = children(value, schema)
    if parts is None:
        return {}
    found: Fields = {}
    for element, entry, child in parts:
        found[element] = field_set(entry, child)
        if element.startswith("k:"):
            found[element]["."] = {}
    return found


def difference(
    old: Any, new: Any, schema: Schema | None, changed: Fields, removed: list[Path], path: Path = ()
) -> bool:
    """Collect the fields that are new or different in `changed`, and those that are gone in `removed`; True if any."""
    if old == new:
        return False
    before, after = children(old, schema), children(new, schema)
    if before is None or after is None:
        changed |= field_set(new, schema)
        return True
    was = {element: entry for element, entry, _ in before}
    for element, entry, child in after:
        if element not in was:
            changed[element] = field_set(entry, child) | ({".": {}} if element.startswith("k:") else {})
            continue
        found: Fields = {}
        if difference(was.pop(element), entry, child, found, removed, (*path, element)):
            changed[element] = found
    removed.extend((*path, element) for element in was)
    return True


def union(left: Fields, right: Fields) -> Fields:
    """All fields of both."""
    result = dict(left)
    for element, fields in right.items():
        result[element] = union(result[element], fields) if element in result else fields
    return result


def subtract(left: Fields, right: Fields) -> Fields:
    """The leaves of `left` that are not leaves of `right`."""
    result: Fields = {}
    for element, fields in left.items():
        if element not in right:
            result[element] = fields
        elif fields and right[element]:
            rest = subtract(fields, right[element])
            if (rest and set(rest) != {"."}) or (rest and "." not in right[element]):
                result[element] = rest
    return result


def without_paths(fields: Fields, paths: list[Path]) -> Fields:
    """A set without what lies at or under some paths."""
    for path in paths:
        fields = _without(fields, path)
    return fields


def _without(fields: Fields, path: Path) -> Fields:
    head, *rest = path
    if head not in fields:
        return fields
    result = dict(fields)
    child = _without(fields[head], tuple(rest)) if rest else {}
    if child:
        result[head] = child
    else:
        del result[head]
    return result


def leaves(fields: Fields, path: Path = ()) -> Iterator[Path]:
    """The paths of all leaves."""
    for element, child in fields.items():
        if child:
            yield from leaves(child, (*path, element))
        else:
            yield (*path, element)


def contains(fields: Fields, path: Path) -> bool:
    """Whether a path, or something under it, is in a set."""
    for element in path:
        if element not in fields:
            return False
        fields = fields[element]
    return True


def value_at(value: Any, path: Path, schema: Schema | None) -> tuple[bool, Any]:
    """(found, value) at a path."""
    for element in path:
        if element == ".":
            return True, None
        found = next((part for part in children(value, schema) or () if part[0] == element), None)
        if found is None:
            return False, None
        _, value, schema = found
    return True, value


def shown(path: Path) -> str:
    """A path as people read it: `.spec.containers[name="a"].image`."""
    text = ""
    for element in path:
        kind, _, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += (
                "["
                + ",".join(f"{name}={orjson.dumps(value).decode()}" for name, value in orjson.loads(rest).items())
                + "]"
            )
        elif kind == "v":
            text += f"[={rest}]"
    return text
