"""One view of OpenAPI schemas for built-in and custom types: what a field is, how its lists merge, where `$ref`s lead.

Validation, pruning and defaulting walk this view (`validation.py`), as do strategic merge and server-side apply. Built-in schemas are
those that `kubernetes-validate` bundles; they are brought into the OpenAPI 3 form here.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import orjson

from hack.localcluster.apiserver.objects import Object

KUBERNETES_VERSION = "1.37.0"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_PREFIX = "#/$defs/"


class Schema:
    """A schema node with `$ref` resolved. Children are wrapped once and kept."""

    __slots__ = ("_fields", "_items", "_values", "node", "required")

    def __init__(self, node: Object) -> None:
        self.node = node
        self.required: tuple[str, ...] = tuple(node.get("required") or ())
        self._fields: dict[str, Schema] | None = None
        self._items: Schema | None = None
        self._values: Schema | None = None

    @property
    def fields(self) -> dict[str, Schema]:
        """Declared properties."""
        if self._fields is None:
            self._fields = {name: resolve(child) for name, child in (self.node.get("properties") or {}).items()}
        return self._fields

    @property
    def values(self) -> Schema | None:
        """The schema of a map's values, None for an object with fixed fields."""
        if self._values is None and isinstance(more := self.node.get("additionalProperties"), dict):
            self._values = resolve(more)
        return self._values

    def field(self, name: str) -> Schema | None:
        """The schema of one field, declared or a map's value."""
        return (self._fields if self._fields is not None else self.fields).get(name) or self.values

    def items(self) -> Schema | None:
        """The schema of a list's items."""
        node = self.node.get("items")
        if self._items is None and isinstance(node, dict):
            self._items = resolve(node)
        return self._items

    @property
    def keeps_unknown(self) -> bool:
        """Whether fields that are not declared stay."""
        node = self.node
        if node.get("x-kubernetes-preserve-unknown-fields") or node.get("additionalProperties") is True:
            return True
        # Without a type anything goes, as in the schemas inside of a CRD (JSONSchemaPropsOrArray and its kin).
        return (
            node.get("type") in (None, "object") and not node.get("properties") and not node.get("additionalProperties")
        )

    @property
    def merges_list(self) -> bool:
        """Strategic merge: lists are merged item by item."""
        return "merge" in str(self.node.get("x-kubernetes-patch-strategy", ""))

    @property
    def merge_key(self) -> str | None:
        """Strategic merge: the field that identifies an item."""
        return self.node.get("x-kubernetes-patch-merge-key")

    @property
    def list_type(self) -> str:
        """Server-side apply: `atomic`, `set` or `map`."""
        return str(self.node.get("x-kubernetes-list-type", "atomic"))

    @property
    def list_keys(self) -> tuple[str, ...]:
        """Server-side apply: the fields that identify an item of a `map` list."""
        return tuple(self.node.get("x-kubernetes-list-map-keys") or ())

    @property
    def atomic(self) -> bool:
        """Server-side apply: an object that is owned as a whole."""
        return self.node.get("x-kubernetes-map-type") == "atomic"


def resolve(node: Object) -> Schema:
    """A node as a Schema, through its `$ref`."""
    reference = node.get("$ref")
    if reference is None:
        return Schema(node)
    return builtin_schema(reference.rpartition("/")[2])


@functools.cache
def builtin_schema(name: str) -> Schema:
    """A bundled definition by its full name, such as `io.k8s.api.core.v1.PodSpec`."""
    return Schema(definition(name))


@functools.cache
def definition(name: str) -> Object:
    """A bundled definition in OpenAPI 3 form."""
    if name == _INT_OR_STRING:
        return {"x-kubernetes-int-or-string": True, "format": "int-or-string"}
    if name == _QUANTITY:
        return {"x-kubernetes-int-or-string": True, "x-localcluster-quantity": True}
    found: Object = _plain(bundled()[name])
    return found


@functools.cache
def bundled() -> dict[str, Object]:
    """All definitions of the Kubernetes version that this server plays, as bundled."""
    # Only its data is wanted: importing the package would load jsonschema, a good part of the server's start.
    found = importlib.util.find_spec("kubernetes_validate")
    locations = found.submodule_search_locations if found else None
    assert locations, "kubernetes-validate is missing; install the dev extra"
    folder = Path(locations[0]) / "kubernetes-json-schema" / f"v{KUBERNETES_VERSION}-local"
    definitions: dict[str, Object] = orjson.loads((folder / "_definitions.json").read_bytes())["$defs"]
    return definitions


@functools.cache
def schema_names() -> dict[tuple[str, str], str]:
    """The definition of each (apiVersion, kind)."""
    found: dict[tuple[str, str], str] = {}
    for name, node in bundled().items():
        for kind in node.get("x-kubernetes-group-version-kind") or []:
            group, version = kind["group"], kind["version"]
            if name.endswith(f".{kind['kind']}"):
                found.setdefault((f"{group}/{version}" if group else version, kind["kind"]), name)
    return found


def _plain(node: Any) -> Any:
    """JSON Schema as bundled (`type: [string, null]`) to OpenAPI 3 (`type: string`)."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {name: _plain(value) for name, value in node.items()}
    if isinstance(plain.get("type"), list):
        plain["type"] = next(name for name in plain["type"] if name != "null")
    return plain


@functools.cache
def builtin_kind_schema(api_version: str, kind: str) -> Schema | None:
    """The schema of a built-in kind, None when there is none."""
    name = schema_names().get((api_version, kind))
    return builtin_schema(name) if name else None


METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class RootSchema(Schema):
    """A kind's schema with Kubernetes' own metadata in it, whatever the CRD says about it."""

    __slots__ = ()

    def field(self, name: str) -> Schema | None:
        """The schema of a top-level field."""
        return builtin_schema(METADATA) if name == "metadata" else super().field(name)


@functools.cache
def builtin_root_schema(api_version: str, kind: str) -> RootSchema:
    """The root schema of a built-in kind; of one that knows no fields when there is none."""
    found = builtin_kind_schema(api_version, kind)
    return RootSchema(found.node if found else {})
