"""Storage requests become disk sizes."""

from __future__ import annotations

import pytest

from gpu_provisioner.machine.quantity import disk_size_gib, is_positive


@pytest.mark.parametrize(
    ("storage", "size"),
    [
        (None, None),
        ("0", None),
        (0, None),
        ("0Gi", None),
        (30, 30),
        ("30", 30),
        ("120", 120),
        ("400", 400),
        ("34Gi", 34),
        ("46Gi", 46),
        ("50Gi", 50),
        ("120Gi", 120),
        ("158Gi", 158),
        ("120G", 112),
        ("1Ti", 1024),
        ("1.5Gi", 2),
        ("100000Mi", 98),
        ("12e10", 112),
    ],
)
def test_bare_numbers_are_gb_and_suffixed_ones_are_rounded_up_to_gib(
    storage: int | str | None, size: int | None
) -> None:
    assert disk_size_gib(storage) == size


@pytest.mark.parametrize("storage", ["-1", "-5Gi", "abc", "", "1GiB", "3Ti", "1e99", "9" * 70])
def test_what_no_disk_offers_is_an_error_that_shows_the_value(storage: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|GiB|exponent"):
        disk_size_gib(storage)


@pytest.mark.parametrize(
    ("value", "positive"), [("1", True), (2, True), ("1m", True), ("0", False), ("-1", False), ("x", False)]
)
def test_is_positive(value: int | str, positive: bool) -> None:
    assert is_positive(value) is positive
