"""How long to wait before trying again, and how often something may be done.

`Backoff` serves one loop (a reflector, an elector): ask it for the next pause, reset it after success. The limiter serves a work queue: it
keeps one history per key, with the name and the arithmetic of client-go, so that its series can be compared. The bucket
serves whoever has a budget per second. Nothing here waits; callers do that with their `Clock`.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Hashable
from typing import Protocol

ITEM_BASE_S = 0.005
ITEM_CAP_S = 1000.0


_SHARED = random.Random()
"""The state of a generator is 2.5 KB; one for each of thousands of backoffs would be most of their memory. Its `random` is thread-safe."""


class Backoff:
    """A growing pause: base, base*factor, ... up to cap, each stretched by a random share of up to `jitter`.

    With `jitter=1.0` a nominal pause of 2 s becomes something in [2, 4) s, as in client-go; the cap holds before jitter.
    Not thread-safe: one loop owns it.
    """

    def __init__(
        self,
        base_s: float,
        cap_s: float,
        *,
        factor: float = 2.0,
        jitter: float = 1.0,
        rng: random.Random | None = None,
    ) -> None:
        if base_s <= 0 or cap_s < base_s or factor < 1 or jitter < 0:
            raise ValueError(
                f"a backoff needs 0 < base <= cap, factor >= 1, jitter >= 0; got {base_s=} {cap_s=} {factor=} {jitter=}"
            )
        self._base_s = base_s
        self._cap_s = cap_s
        self._factor = factor
        self._jitter = jitter
        self._rng = rng or _SHARED
        self._nominal_s = base_s

    def next(self) -> float:
        """Seconds to wait now; the following answer is longer."""
        nominal_s = self._nominal_s
        self._nominal_s = min(nominal_s * self._factor, self._cap_s)
        return nominal_s * (1 + self._jitter * self._rng.random())

    def jump_to_cap(self) -> None:
        """Make the next answer the longest one, for a server that refuses again and again."""
        self._nominal_s = self._cap_s

    def reset(self) -> None:
        """Begin again at the base. Call after a good stretch, not after one good reply, or a flapping server is hammered."""
        self._nominal_s = self._base_s


class Limiter(Protocol):
    """Says how long a key has to wait before its next try."""

    def when(self, key: Hashable) -> float:
        """Seconds to wait; counts as a failure of that key."""

    def num_requeues(self, key: Hashable) -> int:
        """Failures counted since the key was last forgotten."""

    def forget(self, key: Hashable) -> None:
        """The key is well again: drop its history."""


class ItemExponentialLimiter:
    """`base * 2^failures` for each key, capped. `jitter` (default none, as upstream) spreads keys that failed together."""

    def __init__(
        self,
        base_s: float = ITEM_BASE_S,
        cap_s: float = ITEM_CAP_S,
        *,
        jitter: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._rng = rng or _SHARED
        self._lock = threading.Lock()
        self._failures: dict[Hashable, int] = {}

    def when(self, key: Hashable) -> float:
        with self._lock:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            stretch = 1 + self._jitter * self._rng.random() if self._jitter else 1.0
        # 2**64 times any sane base is far beyond the cap; a bigger exponent would only build huge numbers.
        return float(min(self._base_s * 2 ** min(failures, 64), self._cap_s) * stretch)

    def num_requeues(self, key: Hashable) -> int:
        with self._lock:
            return self._failures.get(key, 0)

    def forget(self, key: Hashable) -> None:
        with self._lock:
            self._failures.pop(key, None)

    def __len__(self) -> int:
        """Keys with a history; zero when every key was forgotten, which tests use to prove that nothing leaks."""
        return len(self._failures)


class TokenBucket:
    """`burst` takings at once, then `rate_per_s`. Not thread-safe: who owns it locks. Moments are those of one monotonic clock."""

    __slots__ = ("_burst", "_rate_per_s", "_seen_at", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now: float) -> None:
        if rate_per_s <= 0 or burst < 1:
            raise ValueError(f"a token bucket needs rate_per_s > 0 and burst >= 1; got {rate_per_s=} {burst=}")
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._seen_at = now

    def take(self, now: float) -> float:
        """Take a token; 0.0 when there was one, else the seconds until there is (and nothing is taken)."""
        wait_s = self.wait_s(now)
        if not wait_s:
            self._tokens -= 1
        return wait_s

    def wait_s(self, now: float, tokens: float = 1.0) -> float:
        """Seconds until there are so many; 0.0 when there are. Nothing is taken; more than `burst` there never are."""
        self._tokens = min(self._burst, self._tokens + (now - self._seen_at) * self._rate_per_s)
        self._seen_at = now
        return max(0.0, tokens - self._tokens) / self._rate_per_s
