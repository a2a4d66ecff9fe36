"""Turn the JSON schema of a pydantic model into a Kubernetes structural schema.

Kubernetes wants one self-contained tree: no `$ref`, no `anyOf` for optional fields, no titles, no defaults that merely repeat "absent",
no constraints on map keys. Quantities become `x-kubernetes-int-or-string`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_DROPPED = frozenset({"title", "$defs", "default", "propertyNames", "patternProperties", "examples"})

_NUMERIC_IN_JSON_SCHEMA = frozenset({"exclusiveMaximum", "exclusiveMinimum"})


def structural_schema(model: type[BaseModel], *, defaults: Collection[str] = ()) -> Schema:
    """The schema of `model`, keeping the defaults of the fields whose paths are in `defaults`."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, raw.get("$defs", {}), "", frozenset(defaults))


def node_at(schema: Schema, path: str) -> Schema:
    """The node at a path such as `inference.adapters[].source`; "" is the root. KeyError when there is none."""
    node = schema
    for part in path.split(".") if path else []:
        node = node["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            node = node["items"]
    return node


def _convert(node: Schema, definitions: Schema, path: str, defaults: frozenset[str]) -> Schema:
    node = _resolve(node, definitions)
    if _is_quantity(node):
        return _quantity(node)
    result: Schema = {key: value for key, value in node.items() if key not in _DROPPED}
    odd = _NUMERIC_IN_JSON_SCHEMA & result.keys()
    if odd:
        raise ValueError(
            f"{path}: {', '.join(sorted(odd))} is a number in JSON schema and a boolean in a CRD; write ge or le"
        )
    if result.get("type") == "integer":
        result.pop("format", None)  # servers up to 1.34 warn about int32 and int64; the bounds say as much
    if path in defaults:
        result["default"] = node["default"]
    if "additionalProperties" in node and not isinstance(node["additionalProperties"], dict):
        del result["additionalProperties"]
    result.pop("properties", None)
    if node.get("properties"):
        result["properties"] = {
            name: _convert(child, definitions, f"{path}.{name}".lstrip("."), defaults)
            for name, child in node["properties"].items()
        }
    if "items" in node:
        result["items"] = _convert(node["items"], definitions, f"{path}[]", defaults)
    if isinstance(node.get("additionalProperties"), dict):
        result["additionalProperties"] = _convert(node["additionalProperties"], definitions, f"{path}.*", defaults)
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    return result


def _resolve(node: Schema, definitions: Schema) -> Schema:
    """`node` with its reference and its "or null" folded in; what is said beside the reference wins over what is said in it."""
    while True:
        if "$ref" in node:
            target = definitions[node["$ref"].rpartition("/")[2]]
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
            continue
        options = [o for o in _options(node) if o.get("type") != "null"]
        if len(options) == 1:
            rest = {key: value for key, value in node.items() if key not in ("anyOf", "allOf")}
            node = {**options[0], **rest}
            continue
        return {**node, "anyOf": options} if options else node


def _options(node: Schema) -> Iterator[Schema]:
    yield from node.get("anyOf", ())
    yield from node.get("allOf", ())


def _is_quantity(node: Schema) -> bool:
    return sorted(o.get("type", "") for o in node.get("anyOf", ())) == ["integer", "string"]


def _quantity(node: Schema) -> Schema:
    pattern = next(o["pattern"] for o in node["anyOf"] if o.get("type") == "string")
    result: Schema = {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": pattern,
        "x-kubernetes-int-or-string": True,
    }
    if "description" in node:
        result["description"] = " ".join(node["description"].split())
    return result
