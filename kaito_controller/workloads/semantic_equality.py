"""Does a live value hold everything that was meant? Tolerant of what the API server adds, rewrites or leaves out.

It adds defaults (fields we did not mention), writes quantities in their shortest form ("1000m" becomes "1"), and drops empty values.
A comparison that took these for edits would rewrite the object for ever.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from controller_runtime.quantity import parse_quantity

_QUANTITY_MAPS = frozenset({"requests", "limits"})
_QUANTITIES = frozenset({"sizeLimit", "storage"})
_WHOLE = ("env", "envFrom", "command", "args")
"""Of a container these are ours as a whole: the API server defaults none of them, and each decides what runs."""
_CLOSED_MAPS = frozenset({"selector", "matchLabels", "nodeSelector"})
"""Each further key of these changes what the others do, and the API server adds none."""
_DEFAULT_TRUE = frozenset({"automountServiceAccountToken", "enableServiceLinks", "allowPrivilegeEscalation"})
"""Pointers in the API: false is kept, and absent means true."""


def contains(live: Any, meant: Any, key: str = "") -> bool:
    """Whether `live` holds all of `meant`. Maps may have more keys, selectors may not; lists must have the same length and order."""
    if isinstance(meant, dict):
        return _contains_map(live, meant, key)
    if isinstance(meant, list):
        return _contains_list(live, meant)
    if key in _QUANTITIES:
        return quantity(live) == quantity(meant)
    return bool(live == meant) or (live is None and _is_empty(meant) and key not in _DEFAULT_TRUE)


def quantity(value: Any) -> Decimal | str | None:
    """A Kubernetes quantity as a number; text that is none stays text, so that it equals only itself."""
    if value is None:
        return None
    try:
        return parse_quantity(value)
    except ValueError:
        return str(value)


def _contains_map(live: Any, meant: dict[str, Any], key: str) -> bool:
    if not isinstance(live, dict):
        return live is None and not meant
    if key in _QUANTITY_MAPS:
        return all(quantity(live.get(name)) == quantity(value) for name, value in meant.items())
    if key in _CLOSED_MAPS and not live.keys() <= meant.keys():
        return False
    if _is_container(meant) and any(live.get(name) and not meant.get(name) for name in _WHOLE):
        return False
    return all(contains(live.get(name), value, name) for name, value in meant.items())


def _is_container(meant: dict[str, Any]) -> bool:
    return "image" in meant and "name" in meant


def _contains_list(live: Any, meant: list[Any]) -> bool:
    if not isinstance(live, list):
        return live is None and not meant
    return len(live) == len(meant) and all(map(contains, live, meant))


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value is False or value == 0
