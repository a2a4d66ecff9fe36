"""Quantities are exact, and what the API server would refuse is none."""

from __future__ import annotations

from decimal import Decimal

import kubernetes.utils.quantity as official
import pytest

from controller_runtime.quantity import parse_quantity


@pytest.mark.parametrize(
    "text", ["0", "1", "+1", "-2", "1500m", "100n", "3u", "2k", "1.5Gi", ".5", "5.", "1e3", "12E6", "2E", "7Ei", "34Ki"]
)
def test_the_amount_is_that_of_the_official_client(text: str) -> None:
    assert parse_quantity(text) == official.parse_quantity(text)


def test_numbers_are_amounts_too() -> None:
    assert parse_quantity(30) == Decimal(30)


@pytest.mark.parametrize("text", ["", "E", "1ee3", "1KiB", "1ki", "1 Gi", "NaN", "Infinity", "1e", "١", None, True])
def test_what_is_no_quantity_is_an_error_that_shows_it(text: object) -> None:
    with pytest.raises(ValueError, match="is not a quantity; write it like 120Gi"):
        parse_quantity(text)
