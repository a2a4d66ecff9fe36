"""What one check says, and how checks are run: one that may not look says so, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from kaito_controller.cli.cluster import Cluster

ROLE = "Ask for the roles kaito-plugin-user and kaito-plugin-user-cluster, or an administrator."


class Level(Enum):
    """How bad it is."""

    OK = "ok"
    UNKNOWN = "??"
    WARNING = "!"
    BAD = "!!"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line; `cure` is empty where there is nothing to do."""

    level: Level
    check: str
    told: str
    cure: str = ""

    def to_document(self) -> dict[str, Any]:
        """For programs; keys are added, never renamed."""
        return {"level": self.level.name.lower(), "check": self.check, "message": self.told, "cure": self.cure or None}


Check = Callable[[Cluster, datetime], Iterable[Finding]]


def ok(check: str, told: str) -> Finding:
    """As it should be."""
    return Finding(Level.OK, check, told)


def examine(cluster: Cluster, now: datetime, checks: Iterable[tuple[str, Check]]) -> tuple[Finding, ...]:
    """Runs all. From the first thing on that a check may not read, what it says would be a guess, and is left out."""
    found: list[Finding] = []
    for name, check in checks:
        cluster.unread.clear()
        found += (finding for finding in check(cluster, now) if not cluster.unread)
        found += [Finding(Level.UNKNOWN, name, f"{gap}.", ROLE) for gap in cluster.gaps]
    return tuple(found)
