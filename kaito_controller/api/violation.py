"""One thing that is wrong with an object, in words for its author."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

MAX_MESSAGE = 1000
"""No sentence to a user is longer, whatever the user wrote."""
MAX_QUOTE = 120
"""A quoted value is cut here, so that the cure after it is still read."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that breaks a rule.

    `field` is its path (`resource.count`), `message` one sentence with the value and the cure. `unit` is the part of the object
    whose change makes the rule apply on an update: a fault that was stored before the rule existed must not block other edits.
    """

    field: str
    message: str
    unit: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return shorten(f"{self.field}: {self.message}", MAX_MESSAGE)


def quote(value: object) -> str:
    """A value as it is shown in a message: in quotes, cut at a readable length, without control characters."""
    text = str(value)
    text = shorten(text, MAX_QUOTE)
    return '"' + "".join(char if char.isprintable() else "?" for char in text) + '"'


def shorten(text: str, limit: int) -> str:
    """`text`, cut to `limit` characters with an ellipsis at the end when it was longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
