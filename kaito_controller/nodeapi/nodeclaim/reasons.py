"""Reasons in the status of a NodeClaim: Karpenter's, as the code of its releases 1.0 to 1.15 sets them, and our provisioner's. Pure."""

from __future__ import annotations

from gpu_provisioner.api import node_claim, reasons
from gpu_provisioner.api.dialect import NODE_CLAIM
from kaito_controller.nodeapi.port import Reasons
from kaito_controller.nodeapi.vocabulary import UNAVAILABLE, WITHOUT_CAUSE

DELETED_BEFORE_LAUNCH = "DeletedBeforeLaunch"
"""Ours: read from an object that is being deleted and says nothing itself."""


def _theirs(*ours: str) -> set[str]:
    """As our provisioner writes them into NodeClaims."""
    return {NODE_CLAIM.reasons.get(reason, reason) for reason in ours}


_KARPENTER_WAITS = {
    node_claim.AWAITING,
    *("NodeNotFound", "NodeNotReady", "StartupTaintsExist", "KnownEphemeralTaintsExist", "ResourceNotRegistered"),
    *(
        "RegistrationHookPending",
        "DRADriverPoolsNotPublished",
        "Rebooting",
        "ReconcilingDependents",
        "UnhealthyDependents",
    ),
}
_WAITING = frozenset({"", *_KARPENTER_WAITS, *_theirs(*reasons.ON_THE_WAY)})
_UNAVAILABLE = frozenset(
    {
        *_theirs(*UNAVAILABLE),
        # Azure's Karpenter
        *("SubscriptionQuotaReached", "SKUNotAvailable", "AllocationFailure", "ZonalAllocationFailure"),
        *("OverconstrainedAllocationFailure", "OverconstrainedZonalAllocationFailure"),
        # Karpenter says why in its Events only: no capacity, or a node class that is not ready, which costs the next entry nothing.
        DELETED_BEFORE_LAUNCH,
    }
)
_DISRUPTED = {"Drifted", "Expired", "Underutilized", "Empty", "Disrupted"}

REASONS = Reasons(
    known=frozenset(
        {
            *_WAITING,
            *_DISRUPTED,
            *_theirs(*(entry.reason for entry in reasons.REASONS)),
            *_UNAVAILABLE,
            reasons.LAUNCH_FAILED,
        }
    )
    - {""},
    waiting=_WAITING,
    invalid=frozenset(_theirs(reasons.INVALID_MACHINE)),
    terminal=frozenset(_theirs(reasons.INSTANCE_TYPE_NOT_OFFERED, reasons.INVALID_MACHINE, reasons.POOL_NAME_TAKEN)),
    maintenance=frozenset({reasons.POOL_IN_MAINTENANCE}),
    causeless=_WAITING.union(_theirs(*WITHOUT_CAUSE)),
    unavailable=_UNAVAILABLE,
)
