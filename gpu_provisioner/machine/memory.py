"""What this process remembers about Machines: since when a state lasts, and what the cloud answered last.

All of it may be lost at any moment: a new process starts its clocks at zero, which can only lengthen a limit, and asks the cloud once
more, which create-only requests make harmless. Times are monotonic.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from gpu_provisioner.cloud.port import CloudError
from gpu_provisioner.machine.snapshot import Attempt


@dataclass(slots=True)
class _Record:
    since: dict[str, float] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    refused: dict[str, tuple[CloudError, float]] = field(default_factory=dict)
    blocked_pods: frozenset[str] = frozenset()
    pool_in_the_way: bool = False


class Memory:
    """One record for each Machine UID. Thread-safe."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[Hashable, _Record] = {}

    def ages(self, uid: str, holding: Collection[str]) -> dict[str, float]:
        """Seconds that each of these states has been seen to last; clocks of states that do not hold are reset."""
        now = self._clock.monotonic()
        with self._lock:
            record = self._record(uid)
            record.since = {state: record.since.get(state, now) for state in holding}
            return {state: now - since for state, since in record.since.items()}

    def refused(self, uid: str, call: str, error: CloudError) -> int:
        """The cloud refused a call of this kind; returns how many times in a row."""
        with self._lock:
            record = self._record(uid)
            record.failures[call] = record.failures.get(call, 0) + 1
            return record.failures[call]

    def wait(self, uid: str, call: str, error: CloudError, seconds: float) -> None:
        """Leave the cloud alone with this kind of call for so long."""
        with self._lock:
            self._record(uid).refused[call] = (error, self._clock.monotonic() + seconds)

    def succeeded(self, uid: str, call: str) -> None:
        """The cloud took the call: its history is forgotten."""
        with self._lock:
            record = self._record(uid)
            record.failures.pop(call, None)
            record.refused.pop(call, None)

    def attempt(self, uid: str, call: str) -> Attempt | None:
        """The last refusal of this kind of call, and how long it still holds (0: try again)."""
        with self._lock:
            known = self._record(uid).refused.get(call)
        if known is None:
            return None
        return Attempt(known[0], max(0.0, known[1] - self._clock.monotonic()))

    def note_blocked_pods(self, uid: str, pods: Collection[str]) -> None:
        """Pods (`namespace/name`) that a PodDisruptionBudget holds on the Node."""
        with self._lock:
            self._record(uid).blocked_pods = frozenset(pods)

    def blocked_pods(self, uid: str) -> tuple[str, ...]:
        """As noted last."""
        with self._lock:
            return tuple(sorted(self._record(uid).blocked_pods))

    def note_pool_in_the_way(self, uid: str, in_the_way: bool) -> None:
        """Whether the deletion of this Machine waits for a pool that is not ours to delete."""
        with self._lock:
            self._record(uid).pool_in_the_way = in_the_way

    def pools_in_the_way(self) -> int:
        """How many Machines wait so."""
        with self._lock:
            return sum(record.pool_in_the_way for record in self._records.values())

    def forget(self, uid: str) -> None:
        """The Machine is gone."""
        with self._lock:
            self._records.pop(uid, None)

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget every Machine but these; called by the garbage collector, so that a missed deletion leaks nothing."""
        with self._lock:
            for uid in [known for known in self._records if known not in uids]:
                del self._records[uid]

    def __len__(self) -> int:
        return len(self._records)

    def _record(self, uid: str) -> _Record:
        return self._records.setdefault(uid, _Record())
