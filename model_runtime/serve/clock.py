"""The only reader of the clock in the server."""

from __future__ import annotations

import time


def now_s() -> float:
    """Seconds that never go back; only differences mean something."""
    return time.monotonic()  # noqa: TID251 - this is the clock


def unix_time_s() -> int:
    """Seconds since 1970, for the `created` fields of the OpenAI routes."""
    return int(time.time())  # noqa: TID251 - this is the clock
