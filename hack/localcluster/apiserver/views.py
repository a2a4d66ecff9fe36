"""How objects travel: here as they are; `tables.py` has the other forms (rows of a Table, metadata only)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.store import Entry, StoredChange


class View:
    """Whole objects, straight from their stored encoding wherever the version is the stored one."""

    def __init__(self, kind: ResourceType) -> None:
        self.kind = kind

    def item(self, entry: Entry) -> bytes:
        """One object."""
        return orjson.dumps(self.kind.served_form(entry.obj)) if self.kind.rewrites else entry.data

    def listing(self, entries: Iterable[Entry], metadata: Object) -> bytes:
        """A list. Items of built-in types come without apiVersion and kind, as from the real server."""
        kind = self.kind
        items = [self.item(entry) for entry in entries]
        if not kind.custom:
            prefix = b'{"apiVersion":"%b","kind":"%b",' % (kind.api_version.encode(), kind.kind.encode())
            skip = len(prefix)
            items = [b"{" + item[skip:] if item.startswith(prefix) else item for item in items]
        head = orjson.dumps({"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata})
        return b'%b,"items":[%b]}' % (head[:-1], b",".join(items))

    def frame(self, change: StoredChange, event: str) -> bytes:
        """One line of a watch."""
        if not self.kind.rewrites:
            return change.frame(event)
        return self._converted_frame(change, event)

    def _converted_frame(self, change: StoredChange, event: str) -> bytes:
        entry: Any = orjson.loads(change.frame(event))["object"]
        return self.line(event, Entry(entry, change.rv))

    def line(self, event: str, entry: Entry) -> bytes:
        """One line of a watch for a given object."""
        return b'{"type":"%b","object":%b}\n' % (event.encode(), self.item(entry))

    def bookmark(self, rv: int, *, initial_events_end: bool = False) -> bytes:
        """A BOOKMARK line."""
        metadata = bookmark_metadata(rv, initial_events_end)
        obj = {"kind": self.kind.kind, "apiVersion": self.kind.api_version, "metadata": metadata}
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"


def bookmark_metadata(rv: int, initial_events_end: bool) -> Object:
    """All that a bookmark's object has."""
    marks = {"annotations": {"k8s.io/initial-events-end": "true"}} if initial_events_end else {}
    return {"resourceVersion": str(rv), **marks}
