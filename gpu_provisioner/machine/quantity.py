"""Quantities as a provisioner reads them: is there any, and how many GiB is it. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

from controller_runtime.quantity import parse_quantity
from gpu_provisioner.cloud.chosen import CLOUD

_GIB = 2**30
_MOST_DIGITS = 30
"""Of an amount: more are no size of a disk, and slow to compute with."""


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
    text = str(storage).strip()
    found = parse_quantity(text)
    if found == 0:
        return None
    if abs(found.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"{text[:64]!r} has an exponent beyond {_MOST_DIGITS}")
    amount = Fraction(found)
    bare = re.fullmatch(r"\+?[0-9]+(\.0*)?", text) is not None
    size = int(amount) if bare else -((-amount) // _GIB)
    if not 1 <= size <= 2048:
        raise ValueError(
            f"storage request {storage!r} is {size} GiB; an OS disk has 1 to 2048 GiB (0 or none: {CLOUD.service} decides)"
        )
    return int(size)
