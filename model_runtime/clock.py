"""The one reader of the time, so that everything else can be tested without waiting."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Real time. Tests hand in one of their own."""

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    def now(self) -> datetime:
        """The time of day, in UTC."""
        return datetime.now(UTC)


def now_s() -> float:
    """Seconds that never go back; only differences mean something."""
    return time.monotonic()


def unix_time_s() -> int:
    """Seconds since 1970, for the `created` fields of the OpenAI routes."""
    return int(time.time())
