"""OpenAPI v3 documents per group and version, as `kubectl explain`, `apply`, `diff` and `edit` read them."""

from __future__ import annotations

from typing import Any

import orjson

from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.schema import KUBERNETES_VERSION, METADATA, definition, schema_names

_COMPONENTS = "#/components/schemas/"
_PATCH_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation", "force")
_INT_OR_STRING = {"oneOf": [{"type": "integer"}, {"type": "string"}], "format": "int-or-string"}
_QUANTITY = {"oneOf": [{"type": "string"}, {"type": "number"}]}


class OpenApi:
    """Builds the documents and keeps them until the served types change."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[str, bytes] = {}

    def index(self) -> bytes:
        """`/openapi/v3`."""
        mark = self._registry.generation
        names = sorted({_document_name(kind) for kind in self._registry})
        paths = {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={mark}"} for name in names}
        return orjson.dumps({"paths": paths})

    def document(self, name: str) -> bytes | None:
        """`/openapi/v3/NAME`, where the name is `api/v1` or `apis/GROUP/VERSION`; None if there is none."""
        if self._generation != self._registry.generation:
            self._documents = {}
            self._generation = self._registry.generation
        if name not in self._documents:
            types = [kind for kind in self._registry if _document_name(kind) == name]
            if not types:
                return None
            self._documents[name] = orjson.dumps(_document(types))
        return self._documents[name]


def _document_name(kind: ResourceType) -> str:
    return f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"


def _document(types: list[ResourceType]) -> Object:
    schemas: Object = {}
    paths: Object = {}
    for kind in types:
        name = _schema_name(kind)
        if kind.custom:
            schemas[name] = _custom_schema(kind, schemas)
        elif name:
            _add(name, schemas)
        paths |= _paths(kind, name)
    info = {"title": "localcluster", "version": f"v{KUBERNETES_VERSION}"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _schema_name(kind: ResourceType) -> str:
    if kind.custom:
        return ".".join([*reversed(kind.group.split(".")), kind.version, kind.kind])
    return schema_names().get((kind.api_version, kind.kind), "")


def _paths(kind: ResourceType, schema: str) -> Object:
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    base = f"/{_document_name(kind)}/" + (f"namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else kind.plural)
    content = {"application/json": {"schema": {"$ref": _COMPONENTS + schema}}} if schema else {}
    responses = {"200": {"description": "OK", "content": content}}

    def operation(action: str, parameters: tuple[str, ...] = ()) -> Object:
        found: Object = {"responses": responses, "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk}
        if parameters:
            found["parameters"] = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in parameters]
        return found

    writes = _PATCH_PARAMETERS[:3]
    return {
        base: {"get": operation("list"), "post": operation("post", writes)},
        f"{base}/{{name}}": {
            "get": operation("get"),
            "put": operation("put", writes),
            "patch": operation("patch", _PATCH_PARAMETERS),
            "delete": operation("delete", ("dryRun",)),
        },
    }


def _add(name: str, schemas: Object) -> None:
    if name in schemas:
        return
    schemas[name] = {}
    schemas[name] = _published(definition(name), schemas)


def _published(node: Any, schemas: Object) -> Any:
    if isinstance(node, list):
        return [_published(item, schemas) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("x-localcluster-quantity"):
        return _QUANTITY
    if node.get("format") == "int-or-string":
        return _INT_OR_STRING
    reference = node.get("$ref")
    if isinstance(reference, str):  # a field may be called `$ref` too, as in JSON schemas of CRDs
        name = reference.rpartition("/")[2]
        _add(name, schemas)
        rest = {field: value for field, value in node.items() if field != "$ref"}
        return {"allOf": [{"$ref": _COMPONENTS + name}], **rest}
    return {field: _published(value, schemas) for field, value in node.items()}


def _custom_schema(kind: ResourceType, schemas: Object) -> Object:
    _add(METADATA, schemas)
    root = dict(kind.schema)
    properties = dict(root.get("properties") or {})
    properties["apiVersion"] = {
        "type": "string",
        "description": "The version of the API that this object is written in.",
    }
    properties["kind"] = {"type": "string", "description": f"Always {kind.kind}."}
    properties["metadata"] = {"allOf": [{"$ref": _COMPONENTS + METADATA}], "description": "Standard object's metadata."}
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return root | {"properties": properties, "x-kubernetes-group-version-kind": [gvk]}
