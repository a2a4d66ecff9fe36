"""Which cases of a long enumeration `make test` runs; the others carry the marker `long` and run in `make test-long` and in CI.

The choice is fixed (every n-th, beginning with the first), so that a run can be repeated; the enumeration itself stays whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from _pytest.mark.structures import ParameterSet


def sampled(cases: Iterable[Any], *, every: int, names: Sequence[str] | None = None) -> list[ParameterSet]:
    """Parameters of which each `every`-th is run by `make test`. A case is one value, or a tuple of values or a `pytest.param`."""
    found = []
    for number, case in enumerate(cases):
        known = case if isinstance(case, ParameterSet) else None
        values = known.values if known else case if isinstance(case, tuple) else (case,)
        marks = [*(known.marks if known else ()), *([pytest.mark.long] if number % every else [])]
        name = known.id if known else names[number] if names else None
        found.append(pytest.param(*values, marks=marks, id=name))
    return found
