"""The status of a Workspace as typed models: what the controller tells, and what it has to remember. Part of the CRD, as `types.py`.

Nobody but the controller may write it. What it remembers is read through `workspace/state/records.py`, which puts up with anything.
"""

# ruff: noqa: RUF012  (pydantic copies defaults for each instance)
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from kaito_controller.api.schema import MAX_CANDIDATES, MAX_LABEL, MAX_NODES, ApiModel, Name


class StatusCondition(ApiModel):
    """One aspect of the state of the Workspace."""

    type: Annotated[str, Field(max_length=316, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$")]
    """Name of the condition, such as ResourceReady."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, as one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, and what to do, for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """The generation of the Workspace that this was computed from."""


class FailedAttempts(ApiModel):
    """The failures of the Machines for one of the nodes."""

    ordinal: Annotated[int, Field(ge=0, le=MAX_NODES - 1)]
    """Which node, from 0."""
    next: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Number of the next attempt."""
    failed: Annotated[int, Field(ge=0, le=1000)] = 0
    """Failures that count against the limit."""
    machine: Name = ""
    """The Machine that failed last."""
    reason: Name = ""
    """Why, as one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, in the words of the cloud or the provisioner."""
    at: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
    """When it failed."""
    cause: Annotated[str, Field(max_length=1024)] = ""
    """The last cause that the cloud gave."""


class PassedCandidate(ApiModel):
    """A way to order the nodes that was passed over."""

    instance_type: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
    """The VM size."""
    capacity_type: Annotated[str, Field(max_length=MAX_LABEL)] = ""
    """spot or on-demand, where that was part of the choice."""
    reason: Name = ""
    """Why, as one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, in the words of the cloud or the provisioner."""
    at: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
    """When."""
    former: bool = False
    """It was in an earlier round, and is tried again when nodes are ordered anew."""


class ReleaseRecord(ApiModel):
    """Why the nodes were given back."""

    intent: Annotated[str, Field(min_length=1, max_length=64)]
    """Identity of what failed; the record is void once something else is asked for."""
    reason: Name = ""
    """Why, as one word."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """Why, for people."""
    at: Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"})]
    """When."""


class StatusRecord(ApiModel):
    """What the controller remembers of this Workspace. To try again at once, set the annotation kaito.sh/try-again to a new value."""

    uid: Annotated[str, Field(max_length=64)] = ""
    """UID of the Workspace that it is about; the record of another one counts for nothing."""
    request: Annotated[str, Field(max_length=64)] = ""
    """Identity of the last value of kaito.sh/try-again that was heard."""
    attempts: Annotated[
        list[FailedAttempts],
        Field(
            max_length=MAX_NODES,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["ordinal"]},
        ),
    ] = []
    """Failed Machines, by node."""
    passed: Annotated[list[PassedCandidate], Field(max_length=MAX_CANDIDATES)] = []
    """Entries of resource.instanceTypes that were passed over."""
    release: ReleaseRecord | None = None
    """Why the nodes were given back."""
    tuned_run: Annotated[str, Field(max_length=64)] = ""
    """Identity of the tuning run that has succeeded."""
    trained_run: Annotated[str, Field(max_length=64)] = ""
    """Identity of the training whose result is in the output volume and could not be pushed."""


class WorkspaceStatus(ApiModel):
    """What the controller observed."""

    worker_nodes: Annotated[list[Name], Field(max_length=1000)] = []
    """Names of the nodes in use, sorted."""
    replicas: Annotated[int, Field(ge=0)] = 0
    """Number of replicas that there are; what autoscalers take for the current number."""
    selector: Annotated[str, Field(max_length=128)] = ""
    """Label selector of the pods, as text, for autoscalers."""
    instance_type: Annotated[str, Field(max_length=2 * MAX_LABEL)] = ""
    """Which entry of resource.instanceTypes was taken; empty while none is, and without such a list."""
    progress: Annotated[str, Field(max_length=64)] = ""
    """How far a tuning run is, such as "training 30 %"; empty when its trainer does not tell."""
    record: StatusRecord | None = None
    """What the controller remembers of this Workspace."""
    conditions: Annotated[
        list[StatusCondition],
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = []
    """State, one entry per aspect: MachineReady, ResourceReady, InferenceReady, JobStarted, WorkspaceReady, WorkspaceDeleting."""
