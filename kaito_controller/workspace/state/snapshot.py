"""What one reconcile knows: everything `plan` and `status` may look at, read once and frozen.

Views carry only what decisions need, already checked for ownership: a Machine or a workload in a Snapshot belongs to this Workspace's
UID. Raw objects appear where a builder or a cause needs the whole (workloads, pods); they come from caches and are never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from controller_runtime.conditions import is_true
from controller_runtime.resources import Object
from controller_runtime.untrusted import EARLIEST
from kaito_controller.api import reasons
from kaito_controller.api.reasons import Reason
from kaito_controller.catalog.offer import InstanceOffer
from kaito_controller.nodeapi import APIS, DEFAULT
from kaito_controller.nodeapi.port import NodeApi, NodeTerms
from kaito_controller.workloads.context import WorkloadContext
from kaito_controller.workspace.state.candidates import NOTHING_KNOWN, Candidate, Passed
from kaito_controller.workspace.state.caps import Account
from kaito_controller.workspace.state.records import Attempts, Record, Release
from kaito_controller.workspace.state.training_progress import TrainingProgress


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often; every wait of the reconciler ends by one of these. Times in seconds."""

    machine_attempts: int = 3
    machine_timeout_s: float = 1800.0
    machine_retry_delay_s: float = 30.0
    machine_retry_period_s: float = 1800.0
    provisioner_silence_s: float = 120.0
    node_lost_timeout_s: float = 600.0
    gpu_timeout_s: float = 900.0
    failed_workload_grace_s: float = 3600.0


DEFAULT_LIMITS = Limits()


class MachinePhase(Enum):
    """Where a Machine is, in the words of the Machine contract."""

    PENDING = "pending"
    READY = "ready"
    DEGRADED = "degraded"
    """Has been initialized, is not Ready now; the node may come back."""
    FAILED = "failed"
    """Will not become Ready: a terminal reason, or too late."""
    DELETING = "deleting"


@dataclass(frozen=True, slots=True)
class MachineView:
    """One Machine of this Workspace. `ordinal` and `attempt` are None on a Machine that another controller made for it."""

    name: str
    uid: str
    ordinal: int | None
    attempt: int | None
    phase: MachinePhase
    created_at: datetime
    node_name: str = ""
    reason: str = ""
    message: str = ""
    since: datetime | None = None
    touched: bool = True
    """A provisioner has put a finalizer or a condition on it."""
    initialized: bool = False
    """It has been a working node at some time."""
    spot: bool = False
    """It was ordered as a spot node."""
    kind: str = APIS[DEFAULT].kind
    """Of the object, which says by which API the node was ordered."""
    candidate: Candidate = NOTHING_KNOWN
    """As what it was ordered."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who uses a node that nobody ordered."""

    namespace: str
    name: str
    uid: str

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Sizing:
    """How the model would run on nodes of one instance type."""

    misfit: str = ""
    """Why it would not, half a sentence; "" when it fits."""
    gpus: int = 0
    """GPUs that a pod asks for."""
    runtime_args: tuple[str, ...] = ()
    """Arguments of the runtime image, for a preset that runs in it."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """One Node that is, or could become, one of ours."""

    name: str
    uid: str
    resource_version: str
    ready: bool
    gpus: int
    labels: Mapping[str, str] = field(default_factory=dict)
    claim: Claim | None = None
    owner: str = ""
    """`namespace/name` of the Workspace whose Machine made this node; "" for nodes that users brought."""
    unschedulable: bool = False
    deleting: bool = False
    since: datetime | None = None
    """When Ready last changed."""
    message: str = ""
    """What the Ready condition says, when it is not True."""

    eviction: str = ""
    """Who says that this spot node is being taken back, half a sentence; "" when nobody does."""
    taints: tuple[Mapping[str, str], ...] = ()
    is_gpu_type: bool = False
    """Its instance type is known to have GPUs, whether or not the device plugin shows them already."""
    type_gpus: int = 0
    """GPUs that its instance type has; 0 when that is not known."""
    sizing: Sizing | None = None
    """How the model would run on this type of node, where that is not the type asked for; None when nothing is known."""

    @property
    def instance_type(self) -> str:
        return self.labels.get("node.kubernetes.io/instance-type") or self.labels.get(
            "beta.kubernetes.io/instance-type", ""
        )


@dataclass(frozen=True, slots=True)
class BroughtNodes:
    """Which nodes that nobody ordered may be used, and by whom; set by the operator of the cluster."""

    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that such a node must carry; none: any."""
    namespaces: tuple[str, ...] = ()
    """Namespaces whose Workspaces may use them; none: all."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The part of the specification that concerns nodes."""

    count: int
    instance_type: str
    match_labels: Mapping[str, str] = field(default_factory=dict)
    preferred: tuple[str, ...] = ()
    gpus_per_node: int = 0
    """GPUs that a pod will ask for; 0 when nothing is known of the model or the instance type."""
    least_gpus_per_node: int = 0
    """With fewer than this on a node, the model cannot run there."""
    disk_gb: int = 0
    is_default_type: bool = False
    """The instance type is the default of the field, which most often means that the author has named none."""
    unorderable: str = ""
    """Why nodes of the default type are of no use to this model, so that only existing nodes can serve it; "" when they are."""
    nearest_type: str = ""
    """The known type that is most like the one asked for; "" when that is known itself, or like none."""
    retirement: str = ""
    """What is to be said of an instance type that its cloud retires; "" for the others."""
    capacity_type: str = ""
    """Of the nodes to order, where that is part of the choice; "" where the labels decide."""

    @property
    def candidate(self) -> Candidate:
        """As what nodes are ordered now."""
        return Candidate(self.instance_type, self.capacity_type)

    @property
    def type_text(self) -> str:
        """The instance type as a message quotes it: a value that the author may never have given is called the default."""
        return f"{self.instance_type} (the default)" if self.is_default_type else self.instance_type


class Mode(Enum):
    """What the Workspace runs."""

    INFERENCE = "inference"
    TUNING = "tuning"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer to "how is it going": why, in a sentence, and until when it is worth waiting."""

    reason: Reason
    message: str
    until: datetime | None = None
    """When the answer may change by the passing of time alone."""


@dataclass(frozen=True, slots=True)
class ApiRejection:
    """The last answer of the API server that made an action impossible; forgotten once everything could be done."""

    message: str
    machine: bool = False
    """It was a Machine that could not be created."""
    reason: Reason = reasons.WORKLOAD_REFUSED
    """As shown where it is not about a Machine."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world as one reconcile sees it."""

    raw: Object
    """The Workspace, from the cache."""
    now: datetime
    limits: Limits
    wanted: Wanted
    mode: Mode
    context: WorkloadContext
    """For the builders; the nodes and the GPUs per pod are filled in once they are chosen."""
    readiness_timeout_s: float
    preflight: Verdict | None = None
    """Why nothing may be ordered or changed (specification, fit, training configuration), or None."""
    brought_nodes: BroughtNodes = field(default_factory=BroughtNodes)
    machine_api: bool = True
    """Machines can be ordered: their CRD is installed."""
    node_api: NodeApi = APIS[DEFAULT]
    """By which new ones are ordered."""
    account: Account | None = None
    """What may be ordered and what is held; None when nothing is to be ordered."""
    offer: InstanceOffer | None = None
    """What the cloud would still sell; None when that is not known."""
    require_quota: bool = False
    """Nothing is ordered that by the offer cannot be had."""
    node_terms: NodeTerms = field(default_factory=NodeTerms)
    machines: tuple[MachineView, ...] = ()
    nodes: Mapping[str, NodeView] = field(default_factory=dict)
    """By name: those of our Machines, those we claimed, the preferred ones, and free ones of our instance type."""
    absent_since: Mapping[str, datetime] = field(default_factory=dict)
    """By Machine: since when its Node has not been there, as far as this process has seen."""
    candidates: tuple[Candidate, ...] = ()
    """As what nodes may be ordered, in order; `wanted` is about the one that was chosen of them."""
    passed: tuple[Passed, ...] = ()
    """Candidates that were passed over, as is to be on record."""
    type_in_use: bool = False
    """Something runs on nodes of the chosen candidate, so that no other one is tried."""
    attempts: Attempts = field(default_factory=dict)
    release: Release | None = None
    tuned_run: str = ""
    trained_run: str = ""
    request: str = ""
    """The request to try again that `attempts` and `release` have heard."""
    stored: Record | None = None
    """What is on record as it is stored; None when nothing is."""
    existing: Mapping[tuple[str, str], Object] = field(default_factory=dict)
    """By (kind, name): Services, workloads and ConfigMaps that this Workspace controls."""
    pods: tuple[Object, ...] = ()
    """Pods of the workload, by name."""
    lost_nodes: tuple[str, ...] = ()
    """Nodes of those pods that are not there any more."""
    rejection: ApiRejection | None = None
    scaled_by: str = ""
    """The program that set another number of replicas on the workload than the Workspace asks for; "" when nobody did, or none is known."""
    pods_refused: str = ""
    """Why pods of a StatefulSet or Job cannot be made, in the words of its controller; "" when nothing is known."""
    unmounted: str = ""
    """Which pod cannot start for its volumes, in the words of its kubelet; "" when nothing is known."""
    progress: TrainingProgress | None = None
    """How far the tuning run is, as its trainer told last; None when nothing is known."""
    ask_again_at: datetime | None = None
    """When more may be known about missing pods, or about a run."""
    fresh: Mapping[str, datetime | None] = field(default_factory=dict)
    """By kind: since when its cache has been known to be current without a break; None while it is not. Kinds left out always were."""

    @property
    def stale(self) -> tuple[str, ...]:
        """Kinds of which the cache is not known to be current."""
        return tuple(kind for kind, since in sorted(self.fresh.items()) if since is None)

    def counted(self, since: datetime, *kinds: str) -> datetime | None:
        """From when a time counts that is judged from caches of these kinds: not from before an outage of theirs, and never during one."""
        found = [self.fresh.get(kind, EARLIEST) for kind in kinds]
        known = [moment for moment in found if moment is not None]
        return max(since, *known) if len(known) == len(found) else None

    @property
    def worker_nodes(self) -> tuple[str, ...]:
        """The nodes as last shown in status."""
        return tuple((self.raw.get("status") or {}).get("workerNodes") or ())

    @property
    def busy_nodes(self) -> frozenset[str]:
        """Nodes on which a pod of ours has not ended."""
        done = ("Succeeded", "Failed")
        pods = (pod for pod in self.pods if (pod.get("status") or {}).get("phase") not in done)
        return frozenset(str((pod.get("spec") or {}).get("nodeName") or "") for pod in pods)

    @property
    def serving_nodes(self) -> frozenset[str]:
        """Nodes with a pod of ours that is Ready."""
        ready = (pod for pod in self.pods if is_true((pod.get("status") or {}).get("conditions"), "Ready"))
        return frozenset(str((pod.get("spec") or {}).get("nodeName") or "") for pod in ready) - {""}

    @property
    def name(self) -> str:
        return str(self.raw["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.raw["metadata"]["namespace"])

    @property
    def generation(self) -> int:
        return int(self.raw["metadata"].get("generation") or 0)
