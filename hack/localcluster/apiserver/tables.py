"""Server-side Tables: the columns that `kubectl get` prints, of built-in kinds and of CRDs with `additionalPrinterColumns`."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from hack.localcluster.apiserver import builtin_columns, jsonpath
from hack.localcluster.apiserver.columns import Column, age, human_duration
from hack.localcluster.apiserver.registry import Object, ResourceType
from hack.localcluster.apiserver.store import Change, Entry
from hack.localcluster.apiserver.views import View

_TYPES = {"integer": int, "number": float, "boolean": bool}


class TableView(View):
    """Objects as rows. `include` says what of the object comes along: `Metadata`, `Object` or `None`."""

    def __init__(self, kind: ResourceType, include: str) -> None:
        super().__init__(kind)
        self.include = include
        self.columns = columns_of(kind)

    def item(self, entry: Entry) -> bytes:
        """A Table of one row."""
        version = {"resourceVersion": entry.obj["metadata"].get("resourceVersion", "")}
        return self._table([entry], version)

    def listing(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        """A Table of many rows."""
        return self._table(entries, metadata)

    def frame(self, change: Change, event: str) -> bytes:
        """One line of a watch, from the object that the plain line would have carried."""
        obj = orjson.loads(change.frame(event))["object"]
        return self.line(event, Entry(obj, change.rv))

    def bookmark(self, rv: int, *, initial_events_end: bool = False) -> bytes:
        """A bookmark is a Table with one row without cells, whose object carries the annotation."""
        metadata: Object = {"resourceVersion": str(rv)}
        table = orjson.loads(self._table([], metadata))
        if initial_events_end:
            marked = metadata | {"annotations": {"k8s.io/initial-events-end": "true"}}
            partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": marked}
            table["rows"] = [{"cells": [], "object": partial}]
        return orjson.dumps({"type": "BOOKMARK", "object": table}) + b"\n"

    def _table(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        definitions = [column.definition() for column in self.columns]
        rows = [self._row(self.kind.served_form(entry.obj)) for entry in entries]
        table = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": definitions,
            "rows": rows,
        }
        return orjson.dumps(table)

    def _row(self, obj: Object) -> Object:
        row: Object = {"cells": [column.cell(obj) for column in self.columns]}
        if self.include == "Object":
            row["object"] = obj
        elif self.include != "None":
            row["object"] = partial_metadata(obj)
        return row


def partial_metadata(obj: Object) -> Object:
    """An object's metadata only."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def columns_of(kind: ResourceType) -> list[Column]:
    """The columns of a type."""
    if kind.custom is None:
        return builtin_columns.columns_of(kind.storage)
    name = Column("Name", lambda obj: obj["metadata"]["name"], format="name")
    declared = kind.custom.version.get("additionalPrinterColumns")
    return [name, *map(_custom_column, declared)] if declared else [name, age()]


def _custom_column(declared: Object) -> Column:
    return Column(
        declared["name"],
        functools.partial(_custom_cell, declared["jsonPath"], declared["type"]),
        type=declared["type"],
        format=declared.get("format", ""),
        priority=declared.get("priority", 0),
        description=declared.get("description", ""),
    )


def _custom_cell(path: str, kind: str, obj: Object) -> Any:
    found = jsonpath.find(obj, path)
    if not found or found[0] is None:
        return None
    value = found[0]
    if kind == "date":
        return human_duration(value)
    if kind == "string":
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    wanted = _TYPES.get(kind, object)
    return value if isinstance(value, wanted) else None


class PartialView(View):
    """Objects as `PartialObjectMetadata`, for clients that want to know that things exist (garbage collectors)."""

    def item(self, entry: Entry) -> bytes:
        """One object's metadata."""
        return orjson.dumps(partial_metadata(self.kind.served_form(entry.obj)))

    def listing(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        """A PartialObjectMetadataList."""
        items = [partial_metadata(self.kind.served_form(entry.obj)) for entry in entries]
        found = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "items": items,
        }
        return orjson.dumps(found)

    def frame(self, change: Change, event: str) -> bytes:
        """One line of a watch."""
        return self.line(event, Entry(orjson.loads(change.frame(event))["object"], change.rv))


def view_for(kind: ResourceType, accept: str, query: Mapping[str, str]) -> View:
    """The view that an Accept header asks for; the first that is understood wins."""
    for choice in accept.split(","):
        parts = [part.strip() for part in choice.split(";")]
        if parts[0] not in ("application/json", "*/*", ""):
            continue
        if "as=Table" in parts and "g=meta.k8s.io" in parts:
            if "v=v1" in parts:
                return TableView(kind, query.get("includeObject", "Metadata"))
        elif "as=PartialObjectMetadata" in parts or "as=PartialObjectMetadataList" in parts:
            return PartialView(kind)
        else:
            break
    return View(kind)
