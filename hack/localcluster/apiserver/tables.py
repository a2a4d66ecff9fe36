"""Server-side Tables, the columns that `kubectl get` prints, of built-in kinds and of CRDs; and objects as their metadata only."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import orjson

from hack.localcluster.apiserver import builtin_columns, jsonpath
from hack.localcluster.apiserver.columns import Column, age, human_duration
from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.store import Entry, StoredChange
from hack.localcluster.apiserver.views import View, bookmark_metadata

_TYPES = {"integer": int, "number": float, "boolean": bool}


class TableView(View):
    """Objects as rows. `include` says what of the object comes along: `Metadata`, `Object` or `None`."""

    def __init__(self, kind: ResourceType, include: str, version: str) -> None:
        super().__init__(kind)
        self.include = include
        self.version = version
        self.columns = columns_of(kind)

    def item(self, entry: Entry) -> bytes:
        """A Table of one row."""
        version = {"resourceVersion": entry.obj["metadata"].get("resourceVersion", "")}
        return self._table([entry], version)

    def listing(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        """A Table of many rows."""
        return self._table(entries, metadata)

    def frame(self, change: StoredChange, event: str) -> bytes:
        """One line of a watch, from the object that the plain line would have carried."""
        return self._converted_frame(change, event)

    def bookmark(self, rv: int, *, initial_events_end: bool = False) -> bytes:
        """A bookmark is a Table with one row without cells, whose object carries the annotation."""
        table = orjson.loads(self._table([], {"resourceVersion": str(rv)}))
        if initial_events_end:
            marked = {"metadata": bookmark_metadata(rv, initial_events_end)}
            table["rows"] = [{"cells": [], "object": partial_metadata(marked, self.version)}]
        return orjson.dumps({"type": "BOOKMARK", "object": table}) + b"\n"

    def _table(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        definitions = [column.definition() for column in self.columns]
        rows = [self._row(self.kind.served_form(entry.obj)) for entry in entries]
        table = {
            "kind": "Table",
            "apiVersion": f"meta.k8s.io/{self.version}",
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
            row["object"] = partial_metadata(obj, self.version)
        return row


def partial_metadata(obj: Object, version: str) -> Object:
    """An object's metadata only."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


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
    """Objects as `PartialObjectMetadata`, for clients that want to know that things exist: garbage collectors, metadata informers."""

    def __init__(self, kind: ResourceType, version: str) -> None:
        super().__init__(kind)
        self.version = version

    def item(self, entry: Entry) -> bytes:
        """One object's metadata."""
        return orjson.dumps(partial_metadata(self.kind.served_form(entry.obj), self.version))

    def listing(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        """A list is no single object."""
        text = f"you requested PartialObjectMetadata, but the requested object is a list ({self.kind.kind}List)"
        raise StatusError(406, text)

    def frame(self, change: StoredChange, event: str) -> bytes:
        """One line of a watch."""
        return self._converted_frame(change, event)

    def bookmark(self, rv: int, *, initial_events_end: bool = False) -> bytes:
        """A BOOKMARK line."""
        return self.line("BOOKMARK", Entry({"metadata": bookmark_metadata(rv, initial_events_end)}, rv))


class PartialListView(View):
    """Objects as a `PartialObjectMetadataList`; a watch of one that asks for it ends at its first event, without a word."""

    def __init__(self, kind: ResourceType, version: str) -> None:
        super().__init__(kind)
        self.version = version

    def item(self, entry: Entry) -> bytes:
        """A single object is no list."""
        name = self.kind.kind
        text = f"you requested PartialObjectMetadataList, but the requested object is not a list ({name})"
        raise StatusError(406, text)

    def listing(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        """A PartialObjectMetadataList."""
        items = [partial_metadata(self.kind.served_form(entry.obj), self.version) for entry in entries]
        head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{self.version}"}
        return orjson.dumps(head | {"metadata": metadata, "items": items})

    def frame(self, change: StoredChange, event: str) -> bytes:
        """One line of a watch."""
        return self.item(change.entry)
