"""What the reconciler must remember across restarts, kept as annotations on the Workspace.

Two facts cannot be read back from the cluster once their objects are gone: how many Machines have already failed (the failed ones are
deleted, or they would hold a GPU), and that the nodes were given back after a failure. Both are written *before* the deletion they
explain, so a crash between the two loses nothing. Unreadable content counts as absent: deleting an annotation is the documented way to
ask for another try, so a mangled one must not be able to block a Workspace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller_runtime.clock import parse_rfc3339, rfc3339

MESSAGE_LIMIT = 600
"""Characters of a quoted message that are kept: enough for a cloud's error, small enough for an annotation."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The history of one ordinal. `next_attempt` is the number to use now; `failed` counts failures against the limit."""

    next_attempt: int
    failed: int
    machine: str
    reason: str
    message: str
    at: datetime


Attempts = Mapping[int, Failure]


@dataclass(frozen=True, slots=True)
class Release:
    """Nodes given back after a failure. `intent` identifies what failed; the record is void once the Workspace asks for something else."""

    intent: str
    reason: str
    message: str
    at: datetime


def shorten(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def read_attempts(annotation: str | None) -> dict[int, Failure]:
    """Decode `naming.ATTEMPTS`; entries that cannot be read are left out."""
    content = _decode(annotation)
    found = {}
    for ordinal, entry in content.items():
        try:
            found[int(ordinal)] = Failure(
                next_attempt=max(0, int(entry["next"])),
                failed=max(0, int(entry["failed"])),
                machine=str(entry["machine"]),
                reason=str(entry["reason"]),
                message=str(entry["message"]),
                at=parse_rfc3339(str(entry["at"])),
            )
        except (KeyError, TypeError, ValueError):
            continue
    return found


def write_attempts(attempts: Attempts) -> str:
    """Encode for `naming.ATTEMPTS`."""
    return _encode(
        {
            str(ordinal): {
                "next": entry.next_attempt,
                "failed": entry.failed,
                "machine": entry.machine,
                "reason": entry.reason,
                "message": shorten(entry.message),
                "at": rfc3339(entry.at),
            }
            for ordinal, entry in sorted(attempts.items())
        }
    )


def read_release(annotation: str | None) -> Release | None:
    """Decode `naming.RELEASED`."""
    content = _decode(annotation)
    try:
        return Release(
            intent=str(content["intent"]),
            reason=str(content["reason"]),
            message=str(content["message"]),
            at=parse_rfc3339(str(content["at"])),
        )
    except (KeyError, TypeError, ValueError):
        return None


def write_release(release: Release) -> str:
    """Encode for `naming.RELEASED`."""
    return _encode(
        {
            "intent": release.intent,
            "reason": release.reason,
            "message": shorten(release.message),
            "at": rfc3339(release.at),
        }
    )


def _decode(annotation: str | None) -> dict[str, Any]:
    try:
        content = json.loads(annotation or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _encode(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))
