"""Which limit is running for a Machine, and has it passed? Pure.

A verdict is final: the Machine is deleted and its creator may make another one. It is written into the status first and acted on
in a later look, so that nobody has to guess why a Machine went away. While the cloud cannot be asked there is no verdict, because
its outage says nothing about a Machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_provisioner.api import conditions, reasons
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Limit:
    """A clock that is running: `reason` and `message` come true when `remaining_s` reaches 0."""

    condition: str
    reason: str
    message: str
    remaining_s: float

    @property
    def has_passed(self) -> bool:
        return self.remaining_s <= 0


def verdict(snapshot: Snapshot, limits: Limits) -> Limit | None:
    """The limit that has passed, if any."""
    limit = running_limit(snapshot, limits)
    return limit if limit is not None and limit.has_passed else None


def running_limit(snapshot: Snapshot, limits: Limits) -> Limit | None:
    """The clock that runs in the Machine's present state; None when it may stay there for ever."""
    if snapshot.machine.deleting:
        return None
    if not snapshot.is_launched:
        return _launch_limit(snapshot, limits) if snapshot.pool_is_known else None
    if snapshot.pool_is_gone and not snapshot.is_usable:
        message = f"{CLOUD.pool} {snapshot.machine.name} no longer exists and the Machine has no usable Node"
        return Limit(conditions.READY, reasons.POOL_GONE, message, 0.0)
    if snapshot.node is not None and snapshot.node.deleting:
        message = f"Node {snapshot.node.name} was deleted; its Machine goes with it"
        return Limit(conditions.READY, reasons.NODE_DELETED, message, 0.0)
    return _joining_limit(snapshot, limits)


def _launch_limit(snapshot: Snapshot, limits: Limits) -> Limit:
    pool = snapshot.our_pool
    creating = pool is not None and not pool.has_failed
    allowed_s = limits.pool_creation_timeout_s if creating else limits.launch_timeout_s
    what = f"still {pool.provisioning_state}" if pool is not None else "not there"
    message = f"{CLOUD.pool} {snapshot.machine.name} was {what} after {_duration(allowed_s)}"
    last = snapshot.machine.condition(conditions.LAUNCHED)
    if last is not None and last.message and last.reason not in (reasons.LAUNCH_IN_PROGRESS, reasons.LAUNCH_TIMEOUT):
        message += f"; last: {last.reason}: {last.message}"
    return Limit(conditions.LAUNCHED, reasons.LAUNCH_TIMEOUT, message, allowed_s - snapshot.ages.launch_s)


def _joining_limit(snapshot: Snapshot, limits: Limits) -> Limit | None:
    name = snapshot.machine.name
    if not snapshot.machine.is_true(conditions.REGISTERED) and not snapshot.nodes:
        allowed_s = limits.registration_timeout_s
        message = f"no Node of {CLOUD.pool} {name} joined within {_duration(allowed_s)} after the pool was ready"
        left_s = allowed_s - snapshot.ages.registration_s
        return Limit(conditions.REGISTERED, reasons.REGISTRATION_TIMEOUT, message, left_s)
    if not snapshot.is_usable and len(snapshot.nodes) <= 1:
        return _unhealthy_limit(snapshot, limits)
    if not snapshot.machine.is_true(conditions.INITIALIZED) and snapshot.node is not None:
        allowed_s = limits.initialization_timeout_s
        message = f"Node {snapshot.node.name} was not initialized within {_duration(allowed_s)}"
        left_s = allowed_s - snapshot.ages.initialization_s
        return Limit(conditions.INITIALIZED, reasons.INITIALIZATION_TIMEOUT, message, left_s)
    return None


def _unhealthy_limit(snapshot: Snapshot, limits: Limits) -> Limit | None:
    """Runs out only while the pool is known to be running: a stopped or upgrading pool has a good excuse."""
    left_s = limits.unhealthy_timeout_s - snapshot.ages.unhealthy_s
    running = snapshot.our_pool is not None and snapshot.our_pool.is_running
    if left_s <= 0 and not running:
        return None
    what = f"Node {snapshot.node.name} was not Ready" if snapshot.node else "its Node was missing"
    message = (
        f"{what} for {_duration(limits.unhealthy_timeout_s)} while {CLOUD.pool} {snapshot.machine.name} was running"
    )
    return Limit(conditions.READY, reasons.NODE_UNHEALTHY, message, left_s)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g}m" if seconds >= 60 else f"{seconds:g}s"
