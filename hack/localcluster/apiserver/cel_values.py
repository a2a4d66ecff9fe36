"""What CEL expressions meet beyond JSON: their errors, optionals and quantities. Free of `cel-python`, which is slow to import."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


class CelError(Exception):
    """An expression that does not compile or does not evaluate."""


class Optional:
    """CEL's optional type, as far as `optionalOldSelf` rules need it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self) -> Any:
        """The value; an error if there is none."""
        if self.value is None:
            raise CelError("optional.none() dereference")
        return self.value


class Quantity(Decimal):
    """A resource quantity as a CEL value."""
