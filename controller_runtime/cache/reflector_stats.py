"""What reflectors and handler buffers count, and how it is shown to Prometheus.

Counters are plain attributes written by the one thread that owns them; they are read at scrape time, so the hot path pays for no
metrics library. The `reflector_*` names are those client-go had when it still exported them; the rest continue the series.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class ReflectorStats:
    """Numbers of one reflector since it was made."""

    lists: int = 0
    items_in_last_list: int = 0
    list_duration_s: float = 0.0
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
