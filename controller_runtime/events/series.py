"""Which occurrences become a new Event object, which only raise a count, and which are dropped. No I/O, no threads.

Identical occurrences (same object, reason, action, type, note) form a series: one Event with a count. Occurrences that differ in
nothing but the note are combined into one series when more than ten notes came within ten minutes. Each object may start 25 Events at
once and then one every five minutes, so that no loop can flood etcd. All tables are bounded in size and age. Their keys are hashes, notes
are kept as hashes, and of a series that the server knows as it is only name, times and counts stay: whoever repeats it brings its words
along. 4,096 series of objects that came and went are 2 MB; with their words they were 7 (measured). Python keys the hash of text by
process, so that nobody can choose words of equal hash.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from controller_runtime.backoff import Backoff, TokenBucket
from controller_runtime.clock import rfc3339_micro
from controller_runtime.resources import EVENTS, Object

MAX_TRACKED = 4096
MAX_NOTE_BYTES = 1024
COMBINE_AFTER = 10
COMBINE_WINDOW_S = 600.0
COMBINED_PREFIX = "(combined from similar events): "
BURST = 25
REFILL_S = 300.0
SERIES_ENDS_AFTER_S = 360.0
FIRST_REFRESH_S = 10.0
LONGEST_REFRESH_S = 360.0

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something happened to `regarding` (an ObjectReference as sorted pairs, to be hashable)."""

    namespace: str
    regarding: tuple[tuple[str, str], ...]
    related: tuple[tuple[str, str], ...]
    controller: str
    instance: str
    type: str
    reason: str
    action: str
    note: str

    @property
    def similar(self) -> Hashable:
        """Everything but the note."""
        return (self.namespace, self.regarding, self.related, self.controller, self.type, self.reason, self.action)


@dataclass(slots=True, eq=False)
class Series:
    """One Event object and how often it happened. `written` is the count the server knows; 0: it has no such object yet.

    `occurrence` is there as long as there is something to write, and None otherwise.
    """

    occurrence: Occurrence | None
    name: str
    first_at: datetime
    last_at: datetime
    seen_at_s: float
    count: int = 1
    written: int = 0
    tries: int = 0
    refresh: Backoff | None = None

    def repeat(self, occurrence: Occurrence, now: datetime, now_s: float) -> None:
        """It happened again."""
        self.occurrence = occurrence
        self.count += 1
        self.last_at, self.seen_at_s = now, now_s

    def settle(self, count: int) -> None:
        """The server knows `count` of them, or has refused to."""
        self.written, self.tries = count, 0
        if self.count <= count:
            self.occurrence = None

    def next_refresh_s(self) -> float:
        """Seconds until a raised count is worth a write; longer each time."""
        self.refresh = self.refresh or Backoff(FIRST_REFRESH_S, LONGEST_REFRESH_S, jitter=0.1)
        return self.refresh.next()

    def to_object(self, what: Occurrence, count: int) -> Object:
        """The Event as it is first created."""
        written: Object = {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": self.name, "namespace": what.namespace},
            "eventTime": rfc3339_micro(self.first_at),
            "reportingController": what.controller,
            "reportingInstance": what.instance,
            "type": what.type,
            "reason": what.reason,
            "action": what.action,
            "note": what.note,
            "regarding": dict(what.regarding),
        }
        if what.related:
            written["related"] = dict(what.related)
        return written | (self.to_patch(count) if count > 1 else {})

    def to_patch(self, count: int) -> Object:
        """The only part of an Event that may change."""
        return {"series": {"count": count, "lastObservedTime": rfc3339_micro(self.last_at)}}


def clip_note(note: str) -> str:
    """At most 1 KiB of UTF-8, as the API demands, with a sign that something is missing."""
    raw = note.encode()
    if len(raw) <= MAX_NOTE_BYTES:
        return note
    return raw[: MAX_NOTE_BYTES - 3].decode(errors="ignore") + "…"


class _Notes:
    """The different notes of otherwise equal occurrences, as far as the window reaches."""

    __slots__ = ("_recent", "combined")

    def __init__(self) -> None:
        self._recent: list[tuple[float, int]] = []  # Moment and hash. A deque of any length takes 0.7 KB.
        self.combined = ""
        """The note of the combined series, "" while there is none. It stays the same while the flood lasts: notes are immutable."""

    def add(self, note: str, now_s: float) -> None:
        while self._recent and now_s - self._recent[0][0] > COMBINE_WINDOW_S:
            del self._recent[0]
        hashed = hash(note)
        if all(known != hashed for _, known in self._recent):
            self._recent.append((now_s, hashed))
            del self._recent[: -2 * COMBINE_AFTER]
        if len(self._recent) <= COMBINE_AFTER:
            self.combined = ""
        elif not self.combined:
            self.combined = clip_note(COMBINED_PREFIX + note)


class Correlator:
    """Decides over occurrences. Not thread-safe: the recorder locks."""

    def __init__(self) -> None:
        self._series: _Recent[int, Series] = _Recent(SERIES_ENDS_AFTER_S)
        self._notes: _Recent[int, _Notes] = _Recent(COMBINE_WINDOW_S)
        self._buckets: _Recent[int, TokenBucket] = _Recent(BURST * REFILL_S)
        self.dropped = 0

    def correlate(self, occurrence: Occurrence, now: datetime, now_s: float, unique: str) -> Series | None:
        """The series that this occurrence belongs to, already counted; None when it is dropped.

        `unique` becomes part of the name of a new Event.
        """
        occurrence = self._combined(occurrence, now_s)
        key = hash(occurrence)
        series = self._series.get(key, now_s)
        if series is not None and now_s - series.seen_at_s < SERIES_ENDS_AFTER_S:
            series.repeat(occurrence, now, now_s)
            return series
        if not self._take_token(occurrence, now_s):
            self.dropped += 1
            return None
        about = dict(occurrence.regarding).get("name", "")
        series = Series(occurrence, f"{about[: 252 - len(unique)]}.{unique}", now, now, now_s)
        self._series.put(key, series, now_s)
        return series

    def __len__(self) -> int:
        """Series remembered."""
        return len(self._series)

    def unwritten(self) -> list[Series]:
        """Series whose count the server does not know yet."""
        return [series for series in self._series.values() if series.count > series.written]

    def _combined(self, occurrence: Occurrence, now_s: float) -> Occurrence:
        similar = hash(occurrence.similar)
        notes = self._notes.get(similar, now_s)
        if notes is None:
            notes = _Notes()
            self._notes.put(similar, notes, now_s)
        notes.add(occurrence.note, now_s)
        return replace(occurrence, note=notes.combined) if notes.combined else occurrence

    def _take_token(self, occurrence: Occurrence, now_s: float) -> bool:
        of = hash((occurrence.namespace, occurrence.regarding, occurrence.controller))
        bucket = self._buckets.get(of, now_s) or TokenBucket(1 / REFILL_S, BURST, now_s)
        self._buckets.put(of, bucket, now_s)
        return bucket.take(now_s) == 0.0


class _Recent(Generic[K, V]):
    """A dict that forgets what was not used for `keep_s` seconds, and beyond MAX_TRACKED entries the least recently used one."""

    def __init__(self, keep_s: float) -> None:
        self._keep_s = keep_s
        self._entries: OrderedDict[K, tuple[V, float]] = OrderedDict()

    def get(self, key: K, now_s: float) -> V | None:
        known = self._entries.get(key)
        if known is None:
            return None
        self.put(key, known[0], now_s)
        return known[0]

    def put(self, key: K, value: V, now_s: float) -> None:
        self._entries[key] = (value, now_s)
        self._entries.move_to_end(key)
        while len(self._entries) > MAX_TRACKED or now_s - next(iter(self._entries.values()))[1] > self._keep_s:
            self._entries.popitem(last=False)

    def values(self) -> Iterable[V]:
        return [value for value, _ in self._entries.values()]

    def __len__(self) -> int:
        return len(self._entries)
