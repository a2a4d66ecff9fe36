"""Condition types of a Workspace. Their reasons are in `reasons.py`; what makes them true is in `workspace/conditions/`."""

from __future__ import annotations

MACHINE_READY = "MachineReady"
"""The Machines ordered for this Workspace are ready (True also when none had to be ordered)."""

RESOURCE_READY = "ResourceReady"
"""Enough qualified GPU nodes are ready for this Workspace."""

INFERENCE_READY = "InferenceReady"
"""The model is served. Inference only."""

JOB_STARTED = "JobStarted"
"""The tuning Job has a running or finished pod. Tuning only."""

WORKSPACE_READY = "WorkspaceReady"
"""The whole promise: inference serves, or the tuning Job succeeded and its output was pushed."""

WORKSPACE_SUCCEEDED = "WorkspaceSucceeded"
"""The same as WorkspaceReady, under the name that KAITO gives it since 0.3.1, so that scripts made for either version work."""

WORKSPACE_DELETING = "WorkspaceDeleting"
"""The Workspace is being deleted; the message says what it waits for."""

ALL = (
    MACHINE_READY,
    RESOURCE_READY,
    INFERENCE_READY,
    JOB_STARTED,
    WORKSPACE_READY,
    WORKSPACE_SUCCEEDED,
    WORKSPACE_DELETING,
)
"""In the order in which they are shown."""

NOT_OURS = ("NodeClaimReady",)
"""Conditions of KAITO that nobody keeps true after a takeover, and that are removed."""
