"""What candidates write into a Lease, and the timings that make it safe. Pure: `elector` decides and sends.

Stamps are for people to read and are never compared (see `elector`). Fields that others put into a Lease survive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from controller_runtime.clock import rfc3339_micro
from controller_runtime.resources import LEASES, Object

JITTER = 1.2
"""A standby tries again after retry_period times a random factor from 1 up to 1 + this."""
RELEASED_DURATION_S = 1


@dataclass(frozen=True, slots=True)
class LeaseTimings:
    """Seconds; see the picture in `elector`. `lease_duration_s > renew_deadline_s > 1.2 * retry_period_s`."""

    lease_duration_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_period_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_duration_s > self.renew_deadline_s > JITTER * self.retry_period_s > 0:
            raise ValueError(f"{self}: needs lease_duration_s > renew_deadline_s > {JITTER} * retry_period_s > 0")

    @property
    def published_s(self) -> int:
        """The duration as the Lease says it; its field holds whole seconds."""
        return math.ceil(self.lease_duration_s)


def holder_of(lease: Object | None) -> str:
    """The identity that holds it, "" for a free or missing one."""
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")


def claimed(lease: Object | None, identity: str, timings: LeaseTimings, now: datetime) -> Object:
    """The spec of `lease` (None: a new one) once `identity` has taken or renewed it."""
    before = (lease or {}).get("spec") or {}
    taking_over = before.get("holderIdentity") != identity
    stamp = rfc3339_micro(now)
    return before | {
        "holderIdentity": identity,
        "leaseDurationSeconds": timings.published_s,
        "renewTime": stamp,
        "acquireTime": stamp if taking_over else before.get("acquireTime") or stamp,
        "leaseTransitions": int(before.get("leaseTransitions") or 0) + (1 if taking_over and lease else 0),
    }


def released(lease: Object, now: datetime) -> Object:
    """The spec of `lease` once it is free for anybody."""
    free = {
        "holderIdentity": "",
        "leaseDurationSeconds": RELEASED_DURATION_S,
        "renewTime": rfc3339_micro(now),
    }
    return (lease.get("spec") or {}) | free


def new_lease(name: str, namespace: str, spec: Object) -> Object:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
