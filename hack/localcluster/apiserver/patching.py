"""Three of the four patch formats: JSON merge patch (RFC 7386), JSON patch (RFC 6902) and strategic merge.

The fourth, server-side apply, needs field ownership and lives in `apply.py`. All functions give a new object and leave the old alone.
"""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from hack.localcluster.apiserver.errors import Cause, StatusError, bad_request
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.schema import Schema

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


_NO_FIT = (TypeError, KeyError, ValueError, IndexError, AttributeError)
"""What the library raises for operations whose parts are of another type."""


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for field, value in patch.items():
        if value is None:
            result.pop(field, None)
        else:
            result[field] = merge_patch(result.get(field), value)
    return result


def json_patch(target: Object, patch: Any) -> Object:
    """RFC 6902; 400 for a malformed patch, 422 for one that does not fit the object or whose `test` fails."""
    if not all(_is_operation(operation) for operation in patch):
        raise bad_request("error decoding patch: json: cannot unmarshal into Go value of type jsonpatch.Operation")
    try:
        result: Object = jsonpatch.apply_patch(target, patch)
    except jsonpatch.JsonPatchTestFailed as error:
        raise _unprocessable(f"testing value failed: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, *_NO_FIT) as error:
        raise _unprocessable(str(error)) from error
    return result


def _is_operation(found: Any) -> bool:
    """Whether Go would decode it: missing and null parts are empty texts."""
    return isinstance(found, dict) and all(isinstance(found.get(part) or "", str) for part in ("op", "path", "from"))


def _unprocessable(why: str) -> StatusError:
    cause = Cause("patch", f"Invalid value: {why}")
    return StatusError(
        422,
        f"the server rejected our request due to an error in our request: {why}",
        details={"causes": [cause.to_json()]},
    )


def strategic(target: Object, patch: Object, schema: Schema | None) -> Any:
    """`strategic_patch` of a whole object; 400 for directives and items of another type than they must have."""
    try:
        return strategic_patch(target, patch, schema)
    except _NO_FIT as error:
        raise bad_request(f"the strategic merge patch cannot be read: {error}") from error


def strategic_patch(target: Any, patch: Any, schema: Schema | None) -> Any:
    """Kubernetes' merge patch that knows lists: by merge key where the schema says so, with the `$patch`, `$retainKeys`,
    `$setElementOrder` and `$deleteFromPrimitiveList` directives."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {field: value for field, value in patch.items() if field != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = _pruned(dict(target) if isinstance(target, dict) else {}, patch)
    for field, value in patch.items():
        if field.startswith("$"):
            continue
        child = schema.field(field) if schema else None
        if value is None:
            result.pop(field, None)
        elif isinstance(value, list) and child is not None and child.merges_list:
            order = patch.get(f"$setElementOrder/{field}")
            result[field] = _merge_list(result.get(field) or [], value, child, order)
        else:
            result[field] = strategic_patch(result.get(field), value, child)
    _reorder(result, patch, schema)
    return result


def _pruned(result: Object, patch: Object) -> Object:
    if "$retainKeys" in patch:
        result = {field: value for field, value in result.items() if field in patch["$retainKeys"]}
    for field, value in patch.items():
        if field.startswith("$deleteFromPrimitiveList/"):
            name = field.partition("/")[2]
            result[name] = [item for item in result.get(name) or [] if item not in value]
    return result


def _reorder(result: Object, patch: Object, schema: Schema | None) -> None:
    for field, order in patch.items():
        name = field.partition("/")[2]
        if field.startswith("$setElementOrder/") and name not in patch and isinstance(result.get(name), list):
            child = schema.field(name) if schema else None
            result[name] = _ordered(result[name], order, child.merge_key if child else None)


def _merge_list(target: list[Any], patch: list[Any], schema: Schema, order: list[Any] | None) -> list[Any]:
    key = schema.merge_key
    if key is None:
        merged = [*target, *(item for item in patch if item not in target)]
        return _ordered(merged, order, None)
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if item.get("$patch") != "replace"]
    result = list(target)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        place = next((index for index, old in enumerate(result) if old.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic_patch({}, item, schema.items()))
        else:
            result[place] = strategic_patch(result[place], item, schema.items())
    return _ordered(result, order, key)


def _ordered(items: list[Any], order: list[Any] | None, key: str | None) -> list[Any]:
    """Items that the order names first, in that order; the others keep their place at the end (server-only items)."""
    if not order:
        return items
    wanted = [entry.get(key) if key and isinstance(entry, dict) else entry for entry in order]
    rank = {str(value): place for place, value in enumerate(wanted)}

    def place_of(item: Any) -> int:
        value = item.get(key) if key and isinstance(item, dict) else item
        return rank.get(str(value), len(rank))

    return sorted(items, key=place_of)
