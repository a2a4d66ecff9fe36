"""Words that every layer of the server shares: an object as JSON data, who asks, and how a write is to be done."""

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
