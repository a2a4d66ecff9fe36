"""Never back below a resourceVersion that was seen: which events are news and which are echoes of the past.

A server that restarts from an old cache, a proxy that replays, or two API servers of unequal age can show a client yesterday's events.
Applied, they would bring deleted objects back. Resource versions of one resource type are comparable when they are decimal numbers
(Kubernetes 1.35 made that official); anything else is opaque, and then everything counts as news, as in client-go.
"""

from __future__ import annotations

from controller_runtime.resources import Object, resource_version_of

TOMBSTONES = 4096
"""Deletions remembered since the last list. When more happen, the oldest raises the floor below which unknown keys are echoes."""


def ordinal(resource_version: str) -> int | None:
    """The number in a comparable resourceVersion, None for an opaque one."""
    return int(resource_version) if resource_version.isascii() and resource_version.isdigit() else None


class Freshness:
    """What one cache knows about time. Not thread-safe: its store's lock guards it."""

    def __init__(self) -> None:
        self.resource_version = ""
        self._highest = 0
        self._floor = 0
        self._tombstones: dict[str, int] = {}

    def restart(self, resource_version: str) -> None:
        """A whole list at `resource_version` was adopted: all that is not in it is gone."""
        self.resource_version = resource_version
        self._highest = self._floor = ordinal(resource_version) or 0
        self._tombstones.clear()

    def admit(self, resource_version: str, key: str, known: Object | None) -> bool:
        """True when the event is news; notes its resourceVersion as seen."""
        if resource_version.isdigit():
            number = int(resource_version)
            if number <= self._highest:
                return self._is_news(number, key, known)
            self._highest = number
        self.resource_version = resource_version
        return True

    def note(self, resource_version: str) -> None:
        """A bookmark: everything up to here was seen."""
        number = ordinal(resource_version)
        if number is None or number > self._highest:
            self.resource_version = resource_version
            self._highest = number or self._highest

    def bury(self, key: str, resource_version: str) -> None:
        """The object was deleted at `resource_version`."""
        self._tombstones.pop(key, None)
        self._tombstones[key] = ordinal(resource_version) or 0
        if len(self._tombstones) > TOMBSTONES:
            oldest = next(iter(self._tombstones))
            self._floor = max(self._floor, self._tombstones.pop(oldest))

    def has_seen(self, resource_version: str) -> bool:
        """True once this cache is at least as new as `resource_version`."""
        if resource_version == self.resource_version:
            return True
        number = ordinal(resource_version)
        return number is not None and number <= self._highest

    def _is_news(self, number: int, key: str, known: Object | None) -> bool:
        """An event below the highest: late (then it is newer than what is known of its object) or an echo."""
        if known is not None:
            return number > (ordinal(resource_version_of(known)) or 0)
        return number > max(self._floor, self._tombstones.get(key, 0))
