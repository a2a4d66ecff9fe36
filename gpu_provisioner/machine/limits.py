"""Every duration that decides something about a Machine, in seconds. Pure.

The defaults are the product's; settings may change each of them and divide all of them by one factor, which is how a whole life
of a Machine fits into seconds on localcluster.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from gpu_provisioner.cloud import port

_ANSWER_IS_KNOWN = (port.SkuNotOffered, port.Capacity, port.AlreadyThere, port.ConflictingWriter, port.PoolNotFound)
"""Another type, or a fresh read, goes on: only a hot loop must be avoided."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts are measured by our own monotonic observation: a restart or a stepped wall clock can only lengthen them."""

    launch_timeout_s: float = 900.0
    pool_creation_timeout_s: float = 1800.0
    registration_timeout_s: float = 900.0
    initialization_timeout_s: float = 1800.0
    unhealthy_timeout_s: float = 600.0
    drain_timeout_s: float = 0.0
    pod_stuck_s: float = 60.0
    poll_s: float = 10.0
    poll_max_s: float = 30.0
    drain_poll_s: float = 5.0
    busy_retry_s: float = 15.0
    quota_retry_s: float = 300.0
    denied_retry_s: float = 60.0
    invalid_retry_s: float = 600.0
    unknown_retry_s: float = 10.0
    unknown_retry_max_s: float = 300.0
    throttled_retry_s: float = 30.0
    not_offered_memory_s: float = 600.0
    capacity_memory_s: float = 180.0

    def scaled(self, factor: float) -> Limits:
        """All durations divided by `factor`."""
        return replace(self, **{f.name: getattr(self, f.name) / factor for f in fields(self)})

    def poll_interval_s(self, age_s: float) -> float:
        """How long to wait before looking at a pool again that has been changing for `age_s`: grows with its age."""
        return min(self.poll_max_s, max(self.poll_s, age_s / 8))

    def memory_s(self, problem: port.Problem) -> float:
        """How long a refused instance type is skipped by every Machine; 0 for problems that say nothing about the type."""
        if problem.is_a(port.SkuNotOffered):
            return self.not_offered_memory_s
        if problem.is_a(port.Capacity):
            return self.capacity_memory_s
        return 0.0

    def retry_s(self, problem: port.Problem, failures: int) -> float:
        """Pause before the cloud is asked again after its `failures`-th consecutive error; never below what the cloud asked."""
        return max(self._pause_s(problem, failures), problem.retry_after_s or 0.0)

    def _pause_s(self, problem: port.Problem, failures: int) -> float:
        if problem.is_a(port.Throttled) and problem.retry_after_s is not None:
            return problem.retry_after_s
        if problem.is_a(*_ANSWER_IS_KNOWN):
            return self.unknown_retry_s / 10 * float(min(2**failures, 10))
        for kind, pause_s in (
            (port.Busy, self.busy_retry_s),
            (port.Quota, self.quota_retry_s),
            (port.InvalidInput, self.invalid_retry_s),
            (port.Auth, self.denied_retry_s),
            (port.Throttled, self.throttled_retry_s),
        ):
            if problem.is_a(kind):
                return pause_s
        return min(self.unknown_retry_max_s, self.unknown_retry_s * float(2 ** min(max(failures - 1, 0), 10)))
