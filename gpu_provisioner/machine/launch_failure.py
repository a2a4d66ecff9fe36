"""Why a Machine has no pool, in words for its status. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_provisioner.api import labels, reasons
from gpu_provisioner.api.conditions import ALL_TYPES_UNAVAILABLE
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import AlreadyThere, CloudError, InvalidInput, Problem, SkuNotOffered
from gpu_provisioner.machine.ownership import Ownership, mark_of
from gpu_provisioner.machine.snapshot import Snapshot

NO_CAUSE = CloudError(f"{CLOUD.service} gives no cause").problem
"""Of a pool that failed without a word."""


@dataclass(frozen=True, slots=True)
class LaunchFailure:
    """`message` is for MachineLaunched, `detail` for Ready; they differ only where a peer compares the first one literally."""

    reason: str
    message: str
    detail: str


def launch_failure(snapshot: Snapshot) -> LaunchFailure | None:
    """The reason why the launch does not go on; None while it does, or when nothing new is known."""
    if snapshot.candidates.problems:
        return _told(InvalidInput("; ".join(snapshot.candidates.problems)).problem)
    if not snapshot.pool_is_known:
        problem = snapshot.pool_problem
        return _told(problem) if problem is not None and problem.is_news else None
    if snapshot.ownership in (Ownership.FOREIGN, Ownership.UNMARKED):
        return _name_taken(snapshot.machine.name)
    if snapshot.ownership is Ownership.FORMER:
        return _former(snapshot)
    pool = snapshot.our_pool
    if pool is not None:
        return _told(pool.error or NO_CAUSE) if pool.has_failed else None
    return _refused(snapshot)


def _told(problem: Problem) -> LaunchFailure:
    return LaunchFailure(problem.reason, str(problem), str(problem))


def _name_taken(name: str) -> LaunchFailure:
    text = (
        f"{CLOUD.a_pool} {name} exists that this Machine does not own (no {labels.MACHINE_UID_TAG} tag with its UID); it is left alone. "
        "Give the Machine another name, or delete that pool if nobody needs it"
    )
    return LaunchFailure(reasons.POOL_NAME_TAKEN, text, text)


def _former(snapshot: Snapshot) -> LaunchFailure:
    former = mark_of(snapshot.pool) if snapshot.pool is not None else ""
    text = f"{CLOUD.pool} {snapshot.machine.name} was made for a former Machine of this name (UID {former}); waiting until it is removed"
    return LaunchFailure(reasons.POOL_CONFLICT, text, text)


def _refused(snapshot: Snapshot) -> LaunchFailure | None:
    """There is no pool: the last answer of the cloud to this Machine, or what it answered to others for all of our types."""
    specs, refused = snapshot.candidates.specs, snapshot.unavailable.errors
    attempt = snapshot.attempt
    if specs and all(spec.instance_type in refused for spec in specs):
        errors = [refused[spec.instance_type] for spec in specs]
        # Any wait for capacity may end by itself, so it is the better news of the two.
        first = next((e for e in errors if not e.is_a(SkuNotOffered)), errors[0])
        detail = "; ".join(f"{s.instance_type}: {refused[s.instance_type]}" for s in specs)
        unasked = attempt is None and first.is_a(SkuNotOffered)
        return LaunchFailure(first.reason, ALL_TYPES_UNAVAILABLE if unasked else detail, detail)
    if attempt is not None and attempt.problem.is_news and not attempt.problem.is_a(AlreadyThere):
        return _told(attempt.problem)
    return None
