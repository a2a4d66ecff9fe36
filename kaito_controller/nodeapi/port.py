"""What the Workspace controller needs of an API that makes nodes, whatever it is called. Pure data and one protocol.

An implementation says where its objects live, how one is written, and what the status of one means. It does not decide: when something is
late, when an attempt failed and what follows is the reconciler's, and is the same for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from controller_runtime.resources import Object, Resource

QUOTED = 480
"""Characters of a provisioner's message that are kept: no more than any sentence about it has room for."""


LAUNCH_FAILED = "LaunchFailed"
"""What Karpenter, and Azure's gpu-provisioner up to 0.4, say of every error of the cloud that they do not sort."""

UNAVAILABLE_CODES = frozenset(
    {
        # Azure
        *(
            "QuotaExceeded",
            "ErrCode_InsufficientVCPUQuota",
            "InsufficientVCPUQuota",
            "SkuNotAvailable",
            "SKUNotAvailable",
        ),
        *("AllocationFailed", "ZonalAllocationFailed"),
        *("OverconstrainedAllocationRequest", "OverconstrainedZonalAllocationRequest"),
        # AWS
        *("InsufficientInstanceCapacity", "VcpuLimitExceeded", "MaxSpotInstanceCountExceeded", "UnfulfillableCapacity"),
        # Karpenter
        *("InsufficientCapacityError",),
    }
)
"""Error codes of clouds for an instance type that cannot be had. They are looked for as whole words."""
_WORD = re.compile(r"[A-Za-z_]+")


@dataclass(frozen=True, slots=True)
class NodeTerms:
    """What the operator of the cluster says of all ordered nodes; an API that has no place for one of these leaves it out."""

    node_class: str = "kaito.sh/KaitoNodeClass/default"
    """GROUP/KIND/NAME of the settings of the cloud, which also say who answers."""
    expire_after: str = "Never"
    """After which the node is taken away whatever runs on it: a duration such as 720h, or Never."""
    termination_grace_period: str = ""
    """Longest time for pods to leave a node that goes, such as 1h; "": as long as they need."""
    disk_request: str = "auto"
    """Name of the request that sizes the disk: storage, ephemeral-storage, none, or auto for what the node class understands."""


@dataclass(frozen=True, slots=True)
class NodeOrder:
    """One node to order."""

    name: str
    workspace: str
    namespace: str
    instance_type: str
    labels: Mapping[str, str] = field(default_factory=dict)
    """To be written onto the Node: the author's own."""
    requirements: Mapping[str, str] = field(default_factory=dict)
    """Labels that kubelet and cloud put on a Node, and that the new one must come with."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Our marks on the object."""
    disk_gb: int = 0
    """Size of the disk that holds images and model; 0: as the cloud has it."""
    terms: NodeTerms = NodeTerms()


@dataclass(frozen=True, slots=True)
class Report:
    """How an order stands, in the words of its provisioner where there are any."""

    ready: bool = False
    """The Node can be used now."""
    initialized: bool = False
    """The Node could be used at some time."""
    node_name: str = ""
    ready_since: datetime | None = None
    reason: str = ""
    """One word, "" when nothing stands in the way or nothing was said."""
    message: str = ""
    since: datetime | None = None
    """When the step that stands in the way last changed."""
    told: bool = False
    """A provisioner has written a status."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """The vocabulary of an API: what may stand as `Report.reason`, and what it means."""

    known: frozenset[str]
    """All that are documented."""
    waiting: frozenset[str]
    """A healthy order passes through these; "" is one."""
    terminal: frozenset[str]
    """The provisioner has given up on this order; waiting for it would only cost time."""
    maintenance: frozenset[str]
    """The Node is away and expected back, however long that takes."""
    causeless: frozenset[str]
    """Say what happened and not why; all others quote the cloud or the provisioner."""
    unavailable: frozenset[str]
    """Nothing is wrong with the order but its instance type or capacity type: another one may be had (quota, capacity, not offered)."""
    invalid: frozenset[str] = frozenset()
    """What was asked for cannot be had from anybody, such as a label that the cloud does not take."""
    unsorted: frozenset[str] = frozenset({LAUNCH_FAILED})
    """Quote an error that the provisioner did not sort; it means the same where the message holds one of `UNAVAILABLE_CODES`."""

    def is_unavailable(self, reason: str, message: str) -> bool:
        """Whether another instance type may be had where this one was refused. Other refusals (access, labels) would meet all alike."""
        if reason in self.unavailable:
            return True
        return reason in self.unsorted and bool(UNAVAILABLE_CODES.intersection(_WORD.findall(message)))


class NodeApi(Protocol):
    """One API that makes nodes."""

    name: str
    """As the setting `--node-api` calls it, and its folder."""
    resource: Resource
    crd_file: str
    """The CRD in this repository, for messages."""
    provisioner: str
    """Who answers it, for messages."""
    reasons: Reasons

    @property
    def kind(self) -> str:
        """Of the objects."""

    @property
    def crd(self) -> str:
        """Name of the CRD."""

    def build(self, order: NodeOrder) -> Object:
        """The object that orders this node."""

    def read(self, stored: Object) -> Report:
        """What its status says; never raises, whatever is in it."""
