"""One thing that is wrong with an object, in words for its author."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

MAX_MESSAGE = 1000
"""No sentence to a user is longer, whatever the user wrote."""
CREATE_ONLY = "(create)"
"""Unit of rules about parts that cannot change after creation."""
MAX_QUOTE = 120
"""A longer value is not quoted, so that the cure after it is still read."""

LONG_TEXT = f"a text of more than {MAX_QUOTE} characters"


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that breaks a rule.

    `field` is its path (`resource.count`), `message` one sentence with the value and the cure. `unit` is the path of the part
    whose change makes the rule apply on an update, because a fault that was stored before the rule existed must not block other
    edits; `CREATE_ONLY` when the rule never applies on an update.
    """

    field: str
    message: str
    unit: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return shorten(f"{self.field}: {self.message}", MAX_MESSAGE)


def quote(value: object) -> str:
    """A value as it is shown in a message: in quotes, without control characters; a long one is only described."""
    text = str(value)
    if len(text) > MAX_QUOTE:
        return LONG_TEXT
    return '"' + "".join(char if char.isprintable() else "?" for char in text) + '"'


def shorten(text: str, limit: int) -> str:
    """`text`, cut to `limit` characters with an ellipsis at the end when it was longer."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
