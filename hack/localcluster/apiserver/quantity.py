"""Kubernetes quantities as the operators read them, and refused in the words of an API server."""

from __future__ import annotations

from decimal import Decimal

from controller_runtime import quantity


def parse_quantity(text: str) -> Decimal:
    """The amount; ValueError when the text is no quantity."""
    try:
        return quantity.parse_quantity(text)
    except ValueError as error:
        expected = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
        raise ValueError(f"quantities must match the regular expression '{expected}'") from error
