"""Read values that somebody else wrote: every reader here is total and bounded. Pure.

Annotations, labels, status and messages can hold whatever their writer's rights allow. A reader that raises on them costs a traceback
for every retry, and one that computes with them may cost the process: `2 ** n` with an `n` out of an annotation holds the interpreter
until memory ends. So a stored value comes in through one of these functions, which never raise and never give more than a stated bound.
Moments end in the year 2999, far enough from the last that can be represented for any duration of ours to be added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from controller_runtime.clock import parse_rfc3339

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
MAX_JSON = 64 * 1024
"""Characters of JSON inside a string that are read; a record of ours needs a fraction of it."""
MAX_DEPTH = 16
_LONGEST_NUMBER = 18
_LONGEST_MOMENT = 64
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


def integer(value: object, *, most: int, least: int = 0, default: int = 0) -> int:
    """A whole number, or text of ASCII digits, moved into `least`..`most`; `default` for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return default
    return max(least, min(most, value))


def text(value: object, limit: int) -> str:
    """At most `limit` characters that can be encoded as UTF-8; "" for what is no text."""
    if not isinstance(value, str):
        return ""
    return value[:limit].encode("utf-8", "replace").decode("utf-8")


def moment(value: object) -> datetime | None:
    """A point in time between 1970 and 2999 in UTC, None for anything else."""
    if not isinstance(value, str) or len(value) > _LONGEST_MOMENT:
        return None
    try:
        found = parse_rfc3339(value)
    except ValueError:
        return None
    return found if EARLIEST <= found <= LATEST else None


def later(start: datetime, seconds: float) -> datetime:
    """`seconds` after `start`, at most `LATEST`."""
    try:
        return min(LATEST, start + timedelta(seconds=seconds))
    except (OverflowError, ValueError):
        return LATEST


def mapping(value: object) -> Mapping[Any, Any]:
    """The map itself, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries(value: object, limit: int) -> Sequence[Mapping[Any, Any]]:
    """The maps among the first `limit` members of a list; empty for what is no list."""
    return [item for item in value[:limit] if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def json_in(value: object, *, limit: int = MAX_JSON, depth: int = MAX_DEPTH) -> Any:
    """What the JSON in a string says; None when it is none, or is longer than `limit` or nested deeper than `depth`."""
    if not isinstance(value, str) or len(value) > limit or nesting(value) > depth:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return None


def nesting(source: str) -> int:
    """How deep brackets are nested in JSON text, without decoding it."""
    level = deepest = 0
    for token in _BRACKETS.finditer(source):
        mark = token.group()
        if mark in ("[", "{"):
            level += 1
            deepest = max(deepest, level)
        elif mark in ("]", "}"):
            level -= 1
    return deepest
