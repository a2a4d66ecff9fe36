"""The words between a controller and its reconciler: which object, and what next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller_runtime.resources import name_of, namespace_of


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """Which object to look at. `namespace` is "" for cluster-scoped objects. It says nothing about what happened."""

    namespace: str
    name: str

    @property
    def key(self) -> str:
        """`namespace/name`, or `name`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @classmethod
    def from_key(cls, key: str) -> Request:
        namespace, _, name = key.rpartition("/")
        return cls(namespace, name)

    @classmethod
    def for_object(cls, obj: Mapping[str, Any]) -> Request:
        return cls(namespace_of(obj), name_of(obj))

    def __str__(self) -> str:
        return self.key


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile wants next. `requeue_after_s` of None, zero or less: nothing until the next event.

    `priority` overrides the priority that the key was taken with, for this requeue.
    """

    requeue_after_s: float | None = None
    priority: int | None = None


class Reconciler(Protocol):
    """Looks at one object, acts once, returns. Never sleeps or waits for the world."""

    def reconcile(self, request: Request) -> Result: ...
