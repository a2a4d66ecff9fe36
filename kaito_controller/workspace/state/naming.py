"""Names and keys of what the reconciler creates; all derived, none drawn.

A name is a function of its owner, so that a create whose reply was lost, or a restart in the middle, meets *AlreadyExists* instead of
making a second GPU node. 36 bits leave about 0.2 % chance of any collision among 15,000 Machines, which is why a name that is taken by a
stranger is a case the planner handles (it moves to the next attempt) and not a failure.
"""

from __future__ import annotations

import hashlib

MACHINE_NAME_LENGTH = 11
"""AKS agent pools are named after their Machine and may have no more characters than this."""

WORKSPACE_UID = "kaito.sh/workspace-uid"
"""Annotation on a Machine or a copied ConfigMap: the UID of the Workspace it was made for. Names come back, UIDs never do."""

MACHINE_ORDINAL = "kaito.sh/machine-ordinal"
MACHINE_ATTEMPT = "kaito.sh/machine-attempt"
"""Annotations on a Machine: which of the Workspace's nodes it is for, and the attempt number for that node."""

CLAIM = "kaito.sh/claimed-by"
"""Annotation on a Node that nobody ordered through a Machine: `namespace/name/uid` of the Workspace that uses its GPUs."""

FORMER_ATTEMPTS = "kaito.sh/machine-attempts"
FORMER_RELEASE = "kaito.sh/released"
FORMER_TUNED_RUN = "kaito.sh/tuned-run"
"""Annotations on a Workspace in which its record was kept before it moved to `status.record`; see `records`."""


def machine_name(uid: str, ordinal: int, attempt: int) -> str:
    """`ws` and nine hex digits for one try (`attempt`, from 0) at one node (`ordinal`, from 0) of the Workspace with this UID."""
    digest = hashlib.sha256(f"{uid}/{ordinal}/{attempt}".encode()).hexdigest()
    return "ws" + digest[: MACHINE_NAME_LENGTH - 2]


def claim_value(namespace: str, name: str, uid: str) -> str:
    """The value of `CLAIM`. None of the three parts can contain a slash."""
    return f"{namespace}/{name}/{uid}"
