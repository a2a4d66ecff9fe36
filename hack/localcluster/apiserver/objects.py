"""Words that every layer of the server shares: an object as JSON data, who asks, how a write is to be done, and how a request ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the authenticated user and the program."""

    user: str
    groups: tuple[str, ...] = ()
    agent: str = ""
    uid: str = ""

    @property
    def client(self) -> str:
        """One text for logs and fault rules."""
        return f"{self.user} {self.agent}".strip()


@dataclass(slots=True)
class Write:
    """How a write is to be done. `warnings` collects texts for the Warning header."""

    caller: Caller
    manager: str = ""
    dry_run: bool = False
    field_validation: str = "Warn"
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request, as it ended. `code` is 0 when the client got no answer; `dry_run`: it was to change nothing."""

    user: str
    agent: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    path: str
    code: int
    dry_run: bool = False
