"""What this process remembers about Machines: since when a state lasts, and what the cloud answered last.

All of it may be lost at any moment: a new process starts its clocks at zero, which can only lengthen a limit, and asks the cloud once
more, which create-only requests make harmless. Times are monotonic.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from gpu_provisioner.cloud.port import BudgetSpent, Problem, TurnAwaited
from gpu_provisioner.machine.snapshot import Attempt


@dataclass(slots=True)
class _Record:
    since: dict[str, float] = field(default_factory=dict)
    looked_at: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    refused: dict[str, tuple[Problem, float]] = field(default_factory=dict)
    turns: dict[str, tuple[Problem, float]] = field(default_factory=dict)
    blocked_pods: frozenset[str] = frozenset()
    pool_in_the_way: bool = False


class Memory:
    """One record for each Machine UID. Thread-safe."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[Hashable, _Record] = {}

    def ages(self, uid: str, holding: Collection[str], *, paused: Collection[str] = ()) -> dict[str, float]:
        """Seconds that each of these states has been seen to last; clocks of states that do not hold are reset.

        For a state that is `paused` the time since the last look does not count.
        """
        now = self._clock.monotonic()
        with self._lock:
            record = self._record(uid)
            unseen_s, record.looked_at = now - record.looked_at, now
            held = {state: since + unseen_s if state in paused else since for state, since in record.since.items()}
            record.since = {state: held.get(state, now) for state in holding}
            return {state: now - since for state, since in record.since.items()}

    def refused(self, uid: str, call: str, problem: Problem) -> int:
        """A call of this kind did not go through; returns how many times in a row the cloud refused. Waiting for a turn is no refusal."""
        with self._lock:
            record = self._record(uid)
            if not problem.is_a(BudgetSpent):
                record.failures[call] = record.failures.get(call, 0) + 1
            return record.failures.get(call, 0)

    def wait(self, uid: str, call: str, problem: Problem, seconds: float) -> None:
        """Leave the cloud alone with this kind of call for so long."""
        until = self._clock.monotonic() + seconds
        with self._lock:
            record = self._record(uid)
            if problem.is_a(TurnAwaited):
                record.turns[call] = (problem, until)
            else:
                record.turns.pop(call, None)
                record.refused[call] = (problem, until)

    def succeeded(self, uid: str, call: str) -> None:
        """The cloud took the call: its history is forgotten."""
        with self._lock:
            record = self._record(uid)
            record.failures.pop(call, None)
            record.refused.pop(call, None)
            record.turns.pop(call, None)

    def attempt(self, uid: str, call: str) -> Attempt | None:
        """The last refusal of this kind of call, and how long to wait for the next try (0: try again)."""
        with self._lock:
            record = self._record(uid)
            refused, turn = record.refused.get(call), record.turns.get(call)
        last = turn or refused
        if last is None:
            return None
        problem = refused[0] if refused is not None else last[0]
        return Attempt(problem, max(0.0, last[1] - self._clock.monotonic()), awaits_turn=turn is not None)

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
