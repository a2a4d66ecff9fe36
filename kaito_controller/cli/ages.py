"""Moments and durations in the short form in which people read them."""

from __future__ import annotations

import re
from datetime import datetime

from controller_runtime.clock import rfc3339
from controller_runtime.untrusted import moment

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def duration(seconds: float) -> str:
    """At most two units: `45s`, `4m10s`, `2d3h`."""
    rest, parts = max(0, round(seconds)), list[str]()
    for letter, size in _UNITS:
        count, rest = divmod(rest, size)
        if count or (parts and len(parts) < 2) or letter == "s":
            parts.append(f"{count}{letter}")
    shown = parts[:2]
    return "".join(part for part in shown if len(shown) == 1 or not part.startswith("0") or part is shown[0])


def age(since: datetime | None, now: datetime) -> str:
    """How long ago; "" when that is not known."""
    return duration((now - since).total_seconds()) if since else ""


def stamped(when: datetime, now: datetime) -> str:
    """`2026-01-02T03:04:05Z (in 5m)`, or `(5m ago)`."""
    seconds = (when - now).total_seconds()
    return f"{rfc3339(when)} ({f'in {duration(seconds)}' if seconds >= 0 else f'{duration(-seconds)} ago'})"


def next_moment(message: str, now: datetime) -> datetime | None:
    """The first moment to come that a message names: until when it waits."""
    named = (moment(found) for found in _STAMP.findall(message))
    return min((when for when in named if when and when > now), default=None)
