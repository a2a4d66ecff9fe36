"""The cloud's records: agent pools, their operations and VMs, the scripted outcomes, and who boots a VM.

Plain data that turns into JSON and back, so that a cloud can be kept in a file and restored. No rules here: see `pools`.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Protocol

from hack.localcluster.cloud.errors import NAMED, ArmError, Place
from hack.localcluster.fromjson import STRICT

Properties = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CloudIdentity:
    """The one subscription, resource group and cluster that exist."""

    subscription_id: str = "00000000-0000-0000-0000-00000000c0de"
    resource_group: str = "localcluster-rg"
    cluster_name: str = "localcluster"
    location: str = "eastus"
    kubernetes_version: str = "1.33.5"

    @property
    def node_resource_group(self) -> str:
        """Where AKS keeps the VMs; lower case, as it appears in provider IDs."""
        return f"mc_{self.resource_group}_{self.cluster_name}_{self.location}".lower()

    @property
    def cluster_id(self) -> str:
        """The ARM id of the managed cluster."""
        group = f"/subscriptions/{self.subscription_id}/resourcegroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.ContainerService/managedClusters/{self.cluster_name}"


@dataclass(frozen=True, slots=True)
class VirtualMachine:
    """One VM of a pool, with what its kubelet will register."""

    pool: str
    node_name: str
    provider_id: str
    vm_size: str
    labels: dict[str, str]
    taints: tuple[str, ...] = ()
    mode: str = "User"
    os_disk_gib: int = 128
    zone: str = "0"
    """As Azure's Nodes name it: `eastus-1`, or `0` for a VM of no zone."""


class VmHost(Protocol):
    """Whoever turns VMs into Nodes. Called from a timer thread: must return at once."""

    def boot(self, vm: VirtualMachine) -> None:
        """The VM exists from now on; a kubelet will join the cluster."""

    def shut_down(self, vm: VirtualMachine) -> None:
        """The VM is gone; so will be its Node."""

    def announce(self, vm: VirtualMachine) -> None:
        """The VM is a spot one that will be taken back soon."""


class OperationState(StrEnum):
    """Status words of Azure-AsyncOperation."""

    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELED = "Canceled"


@dataclass(slots=True)
class Operation:
    """A long-running operation on one pool."""

    id: str
    pool: str
    kind: str
    started: str
    state: OperationState = OperationState.IN_PROGRESS
    ended: str = ""
    error: dict[str, Any] | None = None
    script: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """What GET on the operation answers."""
        body: dict[str, Any] = {"name": self.id, "status": self.state.value, "startTime": self.started}
        if self.ended:
            body["endTime"] = self.ended
        if self.error:
            body["error"] = self.error
        return body


@dataclass(slots=True)
class AgentPool:
    """One pool as stored. `incarnation` tells a recreated pool of the same name from its predecessor."""

    name: str
    properties: Properties
    provisioning_state: str
    incarnation: int
    etag: str
    power_state: str = "Running"
    operation_id: str = ""
    error: dict[str, Any] | None = None
    vms: list[VirtualMachine] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.provisioning_state not in ("Succeeded", "Failed", "Canceled")

    @property
    def vmss_name(self) -> str:
        """`aks-<pool>-<8 digits>-vmss`; the digits differ between incarnations, as node names do in reality."""
        digest = hashlib.sha256(f"{self.name}/{self.incarnation}".encode()).digest()
        return f"aks-{self.name}-{int.from_bytes(digest[:4], 'big') % 90000000 + 10000000}-vmss"

    def to_json(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AgentPool:
        """From the state file."""
        vms = [VirtualMachine(**{**vm, "taints": tuple(vm["taints"])}) for vm in data["vms"]]
        return cls(**{**data, "vms": vms})


class Outcome(StrEnum):
    """How a scripted operation goes."""

    REFUSE = "refuse"
    """The request itself is answered with the error; nothing changes."""
    FAIL = "fail"
    """Accepted, and the operation ends Failed with the error; a created pool stays behind in state Failed."""
    CANCEL = "cancel"
    """Accepted, and the operation ends Canceled."""
    HANG = "hang"
    """Accepted, and the operation never ends (until `release`)."""
    NO_NODE = "no_node"
    """Succeeds, but no Node ever joins."""
    EARLY_NODE = "early_node"
    """The Node joins half-way through the operation."""
    VANISH = "vanish"
    """Succeeds, and then the pool and its VMs disappear without an operation, as if deleted by somebody else."""
    SLOW = "slow"
    """Succeeds after `after_s` instead of the usual time."""


class ScriptError(ValueError):
    """A script that cannot be carried out; the message names the field, the value and the cure."""


@dataclass
class Script:
    """An outcome for the next `times` operations that match (0: for ever). Patterns are shell patterns.

    `error` names an entry of the catalogue of errors; or give `code` and `message` (and `status` for refusals) freely.
    `after_s` replaces the usual duration of the operation (of the simulated world).
    """

    __pydantic_config__ = STRICT

    outcome: Outcome
    operation: str = "create"
    pool: str = "*"
    vm_size: str = "*"
    times: int = 1
    error: str = ""
    status: int = 400
    code: str = ""
    message: str = ""
    after_s: float | None = None

    def __post_init__(self) -> None:
        self.outcome = Outcome(self.outcome)  # a state file brings it as text
        if self.error and self.error not in NAMED:
            raise ScriptError(f"error: {self.error!r} is unknown; choose one of {', '.join(sorted(NAMED))}")
        if self.outcome in (Outcome.REFUSE, Outcome.FAIL) and not (self.error or self.code):
            raise ScriptError(f"outcome {self.outcome.value!r} needs an `error` name or a `code`")
        if self.operation not in ("create", "update", "delete", "*"):
            raise ScriptError(f"operation: {self.operation!r}; choose create, update, delete or *")

    def matches(self, operation: str, pool: str, vm_size: str) -> bool:
        """Whether this script is about the operation."""
        return (
            self.operation in ("*", operation) and fnmatchcase(pool, self.pool) and fnmatchcase(vm_size, self.vm_size)
        )

    def arm_error(self, at: Place) -> ArmError:
        """The error to answer or to end with."""
        if self.error:
            return NAMED[self.error](at)
        return ArmError(self.status, self.code or "InternalOperationError", self.message or "scripted failure")
