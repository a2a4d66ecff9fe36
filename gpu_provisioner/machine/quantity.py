"""Kubernetes quantities, as far as a provisioner needs them: is it zero, and how many GiB is it. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from gpu_provisioner.api.machine import QUANTITY_PATTERN
from gpu_provisioner.cloud.chosen import CLOUD

_SHAPE = re.compile(QUANTITY_PATTERN)
_NUMBER = re.compile(r"^([+-]?[0-9.]+)(.*)$")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_GIB = 2**30


def parse_quantity(value: int | str) -> Fraction:
    """The exact amount. Raises ValueError with the offending text for anything that is not a quantity."""
    text = str(value).strip()
    if not _SHAPE.match(text) or len(text) > 64:
        raise ValueError(f"{text[:64]!r} is not a quantity; write it like 120Gi, 120G or 120")
    number, suffix = _NUMBER.match(text).groups()  # type: ignore[union-attr]  # the shape above starts with a number
    if suffix in _BINARY:
        return Fraction(number) * Fraction(2 ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return Fraction(number) * _power_of_ten(_DECIMAL[suffix])
    exponent = int(suffix[1:])
    if abs(exponent) > 30:
        raise ValueError(f"{text!r} has an exponent beyond 30")
    return Fraction(number) * _power_of_ten(exponent)


def _power_of_ten(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


def is_positive(value: int | str) -> bool:
    """Whether the quantity is readable and above zero."""
    try:
        return parse_quantity(value) > 0
    except ValueError:
        return False


def disk_size_gib(storage: int | str | None) -> int | None:
    """OS disk size for a storage request: a bare number is GB as the cloud counts them, a suffixed one is rounded up to GiB.

    None and 0 leave the size to the cloud. Raises ValueError for what is not a quantity, is negative, or that no disk offers.
    """
    if storage is None:
        return None
    amount = parse_quantity(storage)
    if amount == 0:
        return None
    bare = re.fullmatch(r"\+?[0-9]+(\.0*)?", str(storage).strip()) is not None
    size = int(amount) if bare else -((-amount) // _GIB)
    if not 1 <= size <= 2048:
        raise ValueError(
            f"storage request {storage!r} is {size} GiB; an OS disk has 1 to 2048 GiB (0 or none: {CLOUD.service} decides)"
        )
    return int(size)
