"""The schema of a NodeClaim: source of a CRD for clusters where no Karpenter brings its own. What it accepts, Karpenter's accepts."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gpu_provisioner.api.machine import ApiModel, Quantity, Requirement, Resources, Taint

Duration = Annotated[str, Field(pattern=r"^([0-9]+(s|m|h))+$")]
Expiry = Annotated[str, Field(pattern=r"^(([0-9]+(s|m|h))+|Never)$")]


class NodeClassRef(ApiModel):
    """Which settings of the cloud the node is made with."""

    group: Annotated[str, Field(min_length=1, pattern=r"^[^/]*$")] = Field(description="API group of the node class.")
    kind: Annotated[str, Field(min_length=1)] = Field(description="Kind of the node class.")
    name: Annotated[str, Field(min_length=1)] = Field(description="Name of the node class.")


class ClaimRequirement(Requirement):
    """A requirement with Karpenter's alpha field."""

    min_values: Annotated[int, Field(ge=1, le=50)] | None = Field(
        default=None, description="Least number of different values; accepted, not used by gpu-provisioner."
    )


class NodeClaimSpec(ApiModel):
    """What the creator of a NodeClaim asks for; it cannot be changed."""

    requirements: list[ClaimRequirement] = Field(
        description="Constraints on the node. `node.kubernetes.io/instance-type` In [...] is tried in the order given by gpu-provisioner."
    )
    resources: Resources = Field(default_factory=Resources, description="Resources that the node must offer.")
    taints: list[Taint] = Field(default_factory=list, description="Taints of the Node for its whole life.")
    startup_taints: list[Taint] = Field(
        default_factory=list,
        description="Taints that are put on the Node once and must be gone before it is initialized.",
    )
    node_class_ref: NodeClassRef = Field(description="The node class, which also says whose NodeClaim this is.")
    termination_grace_period: Duration | None = Field(
        default=None, description="Longest time for pods to leave; after it the node goes all the same."
    )
    expire_after: Expiry = Field(
        default="720h", description="Karpenter ends the node after this time; Never: it does not."
    )


class NodeClaimCondition(ApiModel):
    """One condition, in the shape of Kubernetes' own."""

    type: str = Field(description="Launched, Registered, Initialized, Ready, or another of Karpenter's.")
    status: str = Field(description="True, False or Unknown.")
    reason: str = Field(description="One stable word for programs.")
    message: str = Field(description="What happened and what to do, for people.")
    last_transition_time: str = Field(
        description="When the status last flipped (RFC 3339).", json_schema_extra={"format": "date-time"}
    )
    # The highest number that a JSON number holds exactly: a real API server refuses every status under a bound of 2**63 - 1.
    observed_generation: Annotated[int, Field(ge=0, le=2**53 - 1)] | None = Field(
        default=None, description="Generation that the condition was computed from."
    )


class NodeClaimStatus(ApiModel):
    """What is true now; written by the provisioner only."""

    node_name: str | None = Field(default=None, description="Name of the Node that it became.")
    provider_id: str | None = Field(default=None, alias="providerID", description="The Node's spec.providerID.")
    image_id: str | None = Field(default=None, alias="imageID", description="Image that the node runs.")
    capacity: dict[str, Quantity] | None = Field(default=None, description="Capacity of the Node.")
    allocatable: dict[str, Quantity] | None = Field(default=None, description="What pods can use of the capacity.")
    last_pod_event_time: str | None = Field(
        default=None, description="Written by Karpenter.", json_schema_extra={"format": "date-time"}
    )
    conditions: list[NodeClaimCondition] = Field(default_factory=list, description="The NodeClaim's way to Ready.")
