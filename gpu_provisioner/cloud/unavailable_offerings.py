"""Instance types that the cloud refused lately, shared by all Machines, so that fifty of them do not ask fifty times."""

from __future__ import annotations

import threading

from controller_runtime.clock import SYSTEM_CLOCK, Clock
from gpu_provisioner.cloud.port import PoolSpec, Problem, UnavailableTypes

Key = tuple[str, str, tuple[str, ...]]


class UnavailableOfferings:
    """Keyed by what makes an offer: instance type, capacity type and zones. Thread-safe; times are monotonic."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[Key, tuple[Problem, float]] = {}

    def note(self, spec: PoolSpec, problem: Problem, seconds: float) -> None:
        """Skip this offer for so long."""
        with self._lock:
            self._until[_key(spec)] = (problem, self._clock.monotonic() + seconds)

    def among(self, specs: tuple[PoolSpec, ...]) -> UnavailableTypes:
        """Which of these offers are refused now, and when the first of them may be tried again."""
        now = self._clock.monotonic()
        with self._lock:
            self._until = {key: entry for key, entry in self._until.items() if entry[1] > now}
            found = {spec.instance_type: self._until[_key(spec)] for spec in specs if _key(spec) in self._until}
        return UnavailableTypes(
            {instance_type: error for instance_type, (error, _) in found.items()},
            min((until - now for _, until in found.values()), default=0.0),
        )


def _key(spec: PoolSpec) -> Key:
    return (spec.instance_type.lower(), spec.capacity_type, tuple(sorted(spec.zones)))
