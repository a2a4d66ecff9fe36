"""The name that a typo was probably meant to be. Pure.

By difflib's ratio over the lower-cased names; a name that is only vaguely alike helps nobody, so the bar is high.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache

ALIKE = 0.8
"""Least ratio of what two names share: one or two letters amiss in a name of a dozen."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, in any letter case; "" when none is."""
    return _nearest(name.lower(), tuple(known))


@lru_cache(maxsize=256)
def _nearest(name: str, known: tuple[str, ...]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name[:128], by_lower, n=1, cutoff=ALIKE)
    return by_lower[found[0]] if found else ""
