"""A column of a Table, and how long ago things happened in the words of `kubectl`."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hack.localcluster.apiserver.objects import Object

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 365 * 86400


@dataclass(frozen=True, slots=True)
class Column:
    """A header and how to fill its cells. Columns of a priority above 0 show with `-o wide` only."""

    name: str
    cell: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> Object:
        """As in `columnDefinitions`."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def age() -> Column:
    """The AGE column."""
    return Column("Age", lambda obj: human_duration(obj["metadata"].get("creationTimestamp")))


def human_duration(moment: Any) -> str:
    """The time since a moment as Kubernetes prints it (`duration.HumanDuration`)."""
    if not isinstance(moment, str):
        return "<unknown>"
    try:
        passed = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(moment)
    except (ValueError, TypeError):
        return "<invalid>"
    return _words(int(passed.total_seconds()))


def span(start: Any, end: Any) -> str:
    """The time between two moments, or until now."""
    if not isinstance(start, str):
        return ""
    last = datetime.datetime.fromisoformat(end) if isinstance(end, str) else datetime.datetime.now(datetime.UTC)
    return _words(int((last - datetime.datetime.fromisoformat(start)).total_seconds()))


def _words(seconds: int) -> str:
    if seconds < -1:
        return "<invalid>"
    if seconds < 2 * _MINUTE:
        return f"{max(0, seconds)}s"
    minutes, hours, days = seconds // _MINUTE, seconds // _HOUR, seconds // _DAY
    if minutes < 10:
        return _pair(minutes, "m", seconds % _MINUTE, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _pair(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = seconds // _YEAR
    return _pair(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
