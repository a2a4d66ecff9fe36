"""A cooldown for what was done a moment ago, so that it is not done again before anything can have changed.

It saves requests only: all of it may be lost at any moment, and what is forgotten is done once more.
"""

from __future__ import annotations

from controller_runtime.clock import Clock

FEW = 64
"""Up to so many entries, nobody looks for those that are over."""


class Cooldown:
    """By any key. Safe to use from many workers: each step on the table is one that the interpreter does whole."""

    def __init__(self, clock: Clock, lasting_s: float) -> None:
        self._clock = clock
        self._lasting_s = lasting_s
        self._since: dict[str, float] = {}
        self._look_at = FEW

    def note(self, key: str) -> None:
        """It was done now."""
        self._since[key] = self._clock.monotonic()
        if len(self._since) > self._look_at:
            for old in [key for key in list(self._since) if not self.left_s(key)]:
                self._since.pop(old, None)
            self._look_at = max(FEW, 2 * len(self._since))

    def left_s(self, key: str) -> float:
        """Seconds until it is over, 0 when it is."""
        since = self._since.get(key)
        return 0.0 if since is None else max(0.0, since + self._lasting_s - self._clock.monotonic())

    def __len__(self) -> int:
        return len(self._since)
