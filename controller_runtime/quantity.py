"""Kubernetes quantities (`1500m`, `2Gi`, `1e3`) as exact numbers.

The official client has a parser too (`kubernetes.utils.quantity`); importing it loads the whole client, which takes longer than a start may
and is forbidden to pure modules; and it takes `NaN` and `Infinity` for amounts.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {suffix: Decimal(10) ** (3 * power) for power, suffix in enumerate(["n", "u", "m", "", *"kMGTPE"], -3)}
_SUFFIXES |= {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
_SHAPE = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]{1,9})|([numkMGTPE]|[KMGTPE]i)?)")


def parse_quantity(value: object) -> Decimal:
    """The amount. ValueError for what is no quantity, or is beyond what can be computed with."""
    found = _SHAPE.fullmatch(str(value))
    if found is None:
        raise ValueError(f"{str(value)[:64]!r} is not a quantity; write it like 120Gi, 120G or 120")
    number, exponent, suffix = found.groups()
    try:
        return Decimal(number + exponent) if exponent else Decimal(number) * _SUFFIXES[suffix or ""]
    except ArithmeticError as error:
        raise ValueError(f"{str(value)[:64]!r} is beyond what can be computed with") from error
