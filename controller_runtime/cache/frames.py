"""What the frames of a watch mean: changes for the sink, bookmarks, the server's own errors. And what a reflector counts.

It is the reflector's inner loop, so it works on whole batches. Frames that make no sense are counted and skipped; a frame that says
ERROR ends the watch. Which pause or list follows is the reflector's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from controller_runtime.client.api import Frame, Transform, WatchStream
from controller_runtime.client.status import error_from_status
from controller_runtime.clock import Clock
from controller_runtime.errors import ApiError
from controller_runtime.logs import get_logger
from controller_runtime.resources import Object, resource_version_of

SILENCE_AFTER_BOOKMARK_S = 90.0
"""API servers send a bookmark about every 60 s. Once one was seen on a watch, this much silence means that the peer is gone."""

_CHANGES = frozenset(("ADDED", "MODIFIED", "DELETED"))
_log = get_logger(__name__)


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


@dataclass(slots=True)
class ReflectorStats:
    """Numbers of one reflector since it was made.

    Plain attributes written by the one thread that owns them and read at scrape time, so that the hot path pays for no metrics library.
    """

    lists: int = 0
    items_in_last_list: int = 0
    watches: int = 0
    short_watches: int = 0
    events: int = 0
    frames: int = 0
    bookmarks: int = 0
    unknown_events: int = 0
    last_frame_at: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)
    relists: dict[str, int] = field(default_factory=dict)

    def count_error(self, reason: str) -> None:
        """A failure of a list or watch, by kind."""
        self.errors[reason] = self.errors.get(reason, 0) + 1

    def count_relist(self, reason: str) -> None:
        """A list that became necessary after the first one, by cause."""
        self.relists[reason] = self.relists.get(reason, 0) + 1


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
    ) -> None:
        self.silence_limit_s = 0.0
        self._sink = sink
        self._stats = stats
        self._clock = clock
        self._transform = transform

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
        if changes:
            self._sink.apply(changes)

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
        if version:
            self._sink.note(version)
        self.silence_limit_s = SILENCE_AFTER_BOOKMARK_S
        stream.expect_frame_within(SILENCE_AFTER_BOOKMARK_S)
