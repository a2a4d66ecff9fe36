"""What the frames of a watch mean: changes for the sink, bookmarks, the end of a streamed list, the server's own errors.

It is the reflector's inner loop, so it works on whole batches. Frames that make no sense are counted and skipped; a frame that says
ERROR ends the watch. Which pause or list follows is the reflector's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from controller_runtime.cache.reflector_stats import ReflectorStats
from controller_runtime.client.api import Frame, Transform, WatchStream
from controller_runtime.client.status import error_from_status
from controller_runtime.clock import Clock
from controller_runtime.errors import ApiError
from controller_runtime.resources import Object, annotations_of, key_of, resource_version_of

SILENCE_AFTER_BOOKMARK_S = 90.0
"""API servers send a bookmark about every 60 s. Once one was seen on a watch, this much silence means that the peer is gone."""

INITIAL_EVENTS_END = "k8s.io/initial-events-end"

_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))
_log = structlog.get_logger(__name__)


class Sink(Protocol):
    """Where the collection goes. Calls come from the reflector's thread only."""

    @property
    def resource_version(self) -> str:
        """The newest resourceVersion taken over, "" before the first list."""

    def replace(self, items: Sequence[Object], resource_version: str) -> None:
        """The collection is now exactly this."""

    def apply(self, events: Sequence[tuple[str, Object]]) -> None:
        """ADDED, MODIFIED and DELETED events, in order."""

    def note(self, resource_version: str) -> None:
        """Nothing older than this is still to come."""


class ErrorEvent(Exception):
    """The server said in the stream that it cannot go on."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(str(error))
        self.error = error


class FrameReader:
    """Feeds a sink from watches, one after another. Owned by one thread."""

    def __init__(
        self,
        sink: Sink,
        stats: ReflectorStats,
        clock: Clock,
        *,
        transform: Transform | None,
        on_list: Callable[[], None],
    ) -> None:
        self.silence_limit_s = 0.0
        self._sink = sink
        self._stats = stats
        self._clock = clock
        self._transform = transform
        self._on_list = on_list
        self._collecting: dict[str, Object] | None = None

    @property
    def is_collecting(self) -> bool:
        """True while the watch still streams its initial list."""
        return self._collecting is not None

    def collect(self, *, wanted: bool) -> None:
        """Take the coming frames for a streamed list that replaces everything once it is complete."""
        self._collecting = {} if wanted else None

    def follow(self, stream: WatchStream) -> None:
        """Read `stream` to its end. Raises `ErrorEvent` and what `WatchStream.batches` raises."""
        for batch in stream.batches():
            self._stats.last_frame_at = self._clock.monotonic()
            self._stats.frames += len(batch)
            self._take(stream, batch)

    def prepare(self, obj: Object) -> Object:
        """Drop what no controller reads and what is a third of most objects; then the caller's own transform."""
        metadata = obj.get("metadata")
        if metadata.__class__ is dict:
            metadata.pop("managedFields", None)
        if self._transform is None:
            return obj
        try:
            return self._transform(obj)
        except Exception:
            _log.exception("a cache transform failed; keeping the object as it came")
            return obj

    def _take(self, stream: WatchStream, batch: Sequence[Frame]) -> None:
        changes: list[tuple[str, Object]] = []
        for event in batch:
            kind, obj = event
            if obj.__class__ is not dict:
                self._stats.unknown_events += 1
            elif kind in _CHANGES:
                prepared = self.prepare(obj)
                changes.append(event if prepared is obj else (kind, prepared))
            else:
                self._apply(changes)
                changes = []
                self._take_special(stream, kind, obj)
        self._apply(changes)

    def _apply(self, changes: list[tuple[str, Object]]) -> None:
        self._stats.events += len(changes)
        if self._collecting is None:
            if changes:
                self._sink.apply(changes)
            return
        for kind, obj in changes:
            if kind == "DELETED":
                self._collecting.pop(key_of(obj), None)
            else:
                self._collecting[key_of(obj)] = obj

    def _take_special(self, stream: WatchStream, kind: str, obj: Object) -> None:
        if kind == "BOOKMARK":
            self._take_bookmark(stream, obj)
        elif kind == "ERROR":
            raise ErrorEvent(error_from_status(obj, call="WATCH"))
        else:
            self._stats.unknown_events += 1
            _log.warning("skipped a watch event of unknown type", type=str(kind)[:40])

    def _take_bookmark(self, stream: WatchStream, obj: Object) -> None:
        self._stats.bookmarks += 1
        version = resource_version_of(obj)
        if self._collecting is not None:
            if annotations_of(obj).get(INITIAL_EVENTS_END) == "true":
                self._end_collecting(version)
        elif version:
            self._sink.note(version)
        self.silence_limit_s = SILENCE_AFTER_BOOKMARK_S
        stream.expect_frame_within(SILENCE_AFTER_BOOKMARK_S)

    def _end_collecting(self, version: str) -> None:
        items = [*(self._collecting or {}).values()]
        self._collecting = None
        self._sink.replace(items, version)
        self._stats.lists += 1
        self._stats.items_in_last_list = len(items)
        self._on_list()
