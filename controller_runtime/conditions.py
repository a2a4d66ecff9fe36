"""Status conditions as Kubernetes keeps them. Pure: the caller brings the time.

One rule carries the module: `lastTransitionTime` moves when, and only when, a condition's *status* flips. A new reason or message
updates in place, and the order of a list never changes, so that a status which says the same is equal and need not be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object

MAX_MESSAGE_LENGTH = 32768
"""Limit of `metav1.Condition.message`."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What is true now of one aspect. `status` is "True", "False" or "Unknown"; `reason` is CamelCase and stable."""

    type: str
    status: str
    reason: str
    message: str = ""
    observed_generation: int | None = None

    def __post_init__(self) -> None:
        if self.status not in ("True", "False", "Unknown"):
            raise ValueError(f'condition {self.type}: status {self.status!r} must be "True", "False" or "Unknown"')

    def to_object(self, last_transition_time: str) -> Object:
        """The JSON form, as `metav1.Condition`."""
        written: Object = {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": _clip(self.message),
            "lastTransitionTime": last_transition_time,
        }
        if self.observed_generation is not None:
            written["observedGeneration"] = self.observed_generation
        return written


def set_conditions(
    existing: Sequence[Mapping[str, Any]] | None, wanted: Iterable[Condition], now: datetime
) -> list[Object]:
    """Merge `wanted` into `existing`: known types keep their place, new ones follow, types not mentioned stay as they are.

    Fields of an existing condition that this program does not know survive. `existing` is not modified.
    """
    merged = {str(condition.get("type")): dict(condition) for condition in _listed(existing)}
    for condition in wanted:
        before = merged.get(condition.type, {})
        flipped = before.get("status") != condition.status
        since = rfc3339(now) if flipped or not before.get("lastTransitionTime") else before["lastTransitionTime"]
        merged[condition.type] = before | condition.to_object(since)
    return list(merged.values())


def get_condition(conditions: Sequence[Mapping[str, Any]] | None, type_: str) -> Mapping[str, Any] | None:
    """The condition of that type, or None."""
    return next((condition for condition in _listed(conditions) if condition.get("type") == type_), None)


def is_true(conditions: Sequence[Mapping[str, Any]] | None, type_: str) -> bool:
    """True when the condition is there and its status is "True"."""
    return _has_status(conditions, type_, "True")


def _has_status(conditions: Sequence[Mapping[str, Any]] | None, type_: str, status: str) -> bool:
    condition = get_condition(conditions, type_)
    return condition is not None and condition.get("status") == status


def _listed(conditions: object) -> Iterator[Mapping[str, Any]]:
    """Those that have the shape of one; nothing for what is no list. A status may have been written by anybody."""
    if isinstance(conditions, list | tuple):
        yield from (condition for condition in conditions if isinstance(condition, Mapping))


def _clip(message: str) -> str:
    if len(message) <= MAX_MESSAGE_LENGTH:
        return message
    return message[: MAX_MESSAGE_LENGTH - 1] + "…"
