"""Every reason that a Workspace condition or Event can carry, with its cause and its cure.

The names are a contract: alerts and scripts match on them, so one is added but never renamed. `README.md` of this package prints this
table and a test compares the two. Reasons say what is so, messages (made in `workspace/conditions/`) say about which object, since when,
until when, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from kaito_controller.api.conditions import (
    INFERENCE_READY,
    JOB_STARTED,
    MACHINE_READY,
    RESOURCE_READY,
    WORKSPACE_DELETING,
    WORKSPACE_READY,
)


class Severity(Enum):
    """What a reason means for whoever waits for the Workspace."""

    GOOD = "good"
    WAITING = "waiting"
    """Nothing is wrong; something is under way."""
    TROUBLE = "trouble"
    """Something is wrong that may heal, by itself or once its cause is removed outside the Workspace."""
    TERMINAL = "terminal"
    """Nothing more happens (or only rarely) until somebody changes what the message names."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table."""

    name: str
    severity: Severity
    conditions: tuple[str, ...]
    cause: str
    cure: str

    def __str__(self) -> str:
        return self.name


_NODES = (MACHINE_READY, RESOURCE_READY, INFERENCE_READY, JOB_STARTED, WORKSPACE_READY)
_RESOURCE = (RESOURCE_READY, INFERENCE_READY, JOB_STARTED, WORKSPACE_READY)
_SERVE = (INFERENCE_READY, WORKSPACE_READY)
_TUNE = (JOB_STARTED, WORKSPACE_READY)
_RUN = (INFERENCE_READY, JOB_STARTED, WORKSPACE_READY)
_ALL = _NODES

_NO_CURE = "None needed."


def _good(name: str, conditions: tuple[str, ...], cause: str) -> Reason:
    return Reason(name, Severity.GOOD, conditions, cause, _NO_CURE)


WAIT = "Wait; the message says until when."
"""The cure of most reasons for waiting."""


def _waiting(name: str, conditions: tuple[str, ...], cause: str, cure: str = WAIT) -> Reason:
    return Reason(name, Severity.WAITING, conditions, cause, cure)


def _trouble(name: str, conditions: tuple[str, ...], cause: str, cure: str) -> Reason:
    return Reason(name, Severity.TROUBLE, conditions, cause, cure)


def _terminal(name: str, conditions: tuple[str, ...], cause: str, cure: str) -> Reason:
    return Reason(name, Severity.TERMINAL, conditions, cause, cure)


# --- the request itself -------------------------------------------------------------------------------------------------------------
INVALID_SPEC = _terminal(
    "InvalidSpec",
    _ALL,
    "The Workspace breaks a rule that admission would have refused (the policy is missing, or older than the controller).",
    "Change the field that the message names; nothing is ordered until then.",
)
MODEL_DOES_NOT_FIT = _terminal(
    "ModelDoesNotFit",
    _ALL,
    "The model needs more GPU memory or GPUs than the instance type and count give.",
    "Recreate the Workspace with an instance type or count from the message; nothing was ordered.",
)

INTERNAL_ERROR = _trouble(
    "InternalError",
    (WORKSPACE_READY,),
    "The controller hits an unexpected error while reconciling this Workspace; it changes nothing here meanwhile, and serves the others.",
    "Report it with the traceback from the controller's log; the controller retries slowly, and at each change of the Workspace.",
)

CACHE_STALE = _trouble(
    "CacheStale",
    _ALL,
    "The controller cannot watch the objects that the message names, so what it knows about them may be out of date.",
    "Check the controller's /readyz and log, and the API server; nothing is given up or replaced meanwhile.",
)

# --- nodes --------------------------------------------------------------------------------------------------------------------------
MACHINES_READY = _good("MachinesReady", (MACHINE_READY,), "Every Machine or NodeClaim of the Workspace is Ready.")
MACHINES_NOT_NEEDED = _good("MachinesNotNeeded", (MACHINE_READY,), "Existing nodes qualify; none was ordered.")
MACHINES_PENDING = _waiting(
    "MachinesPending", _NODES, "Nodes are ordered (by Machines or NodeClaims) and have not joined yet."
)
MACHINE_FAILING = _trouble(
    "MachineFailing",
    _NODES,
    "The provisioner reports a failure of a Machine or NodeClaim and keeps trying (quota, capacity, access).",
    "Remove the cause that the message quotes from the cloud; the order then continues by itself.",
)
MACHINE_REPLACED = _trouble(
    "MachineReplaced",
    _NODES,
    "A Machine or NodeClaim failed for good; it is being removed, and another attempt follows.",
    "Read the cloud's reason in the message (quota, capacity, SKU); attempts are limited.",
)
SPOT_NODE_EVICTED = _trouble(
    "SpotNodeEvicted",
    _NODES,
    "The cloud is taking a spot node back; the node is drained and replaced, which does not count as a failed attempt.",
    "None needed. For nodes that stay, set kaito.sh/capacity-type to on-demand, or to spot-then-on-demand to use them after an eviction.",
)
NEXT_INSTANCE_TYPE = _waiting(
    "NextInstanceType",
    _NODES,
    "The cloud has no quota or capacity for an instance type in the list, or for a spot node, or does not offer it; the next one is tried.",
    "None needed. `status.record.passed` holds the cloud's words.",
)
MACHINE_ATTEMPTS_EXHAUSTED = _terminal(
    "MachineAttemptsExhausted",
    _NODES,
    "Every allowed attempt at a Machine or NodeClaim failed for good.",
    "Remove the cause that the message quotes, then set the annotation kaito.sh/try-again to a new value to try at once.",
)
MACHINE_REFUSED = _trouble(
    "MachineRefused",
    _NODES,
    "The API server refused to create the Machine or NodeClaim (permission, quota or admission).",
    "Grant or change what the message quotes; the controller retries slowly by itself.",
)
NODE_LIMIT_REACHED = _trouble(
    "NodeLimitReached",
    _NODES,
    "Ordering the missing nodes would exceed what the namespace or the cluster may hold (nodes, GPUs, USD per hour).",
    "Delete a Workspace that the message names, or have a cluster administrator raise the limit; the order then continues by itself.",
)
QUOTA_SHORT = _trouble(
    "QuotaShort",
    _NODES,
    "By the published quotas and instance types, the missing nodes are not available; without `--require-quota` they are ordered anyway.",
    "Ask the cloud for more cores of the family in the message, free some, or choose another `resource.instanceType`.",
)
PROVISIONER_SILENT = _trouble(
    "ProvisionerSilent",
    _NODES,
    "No provisioner has touched the Machine or NodeClaim: no finalizer, no condition.",
    "Check that the provisioner (gpu-provisioner, or the Karpenter of the node class) runs and may read the kind that the message names.",
)
MACHINE_API_MISSING = _trouble(
    "MachineAPIMissing",
    _NODES,
    "Too few existing nodes qualify, and the CRD by which nodes are ordered is not installed, so none can be ordered.",
    "Install the CRD that the message names and a provisioner, or label enough GPU nodes as the message says.",
)
NODES_READY = _good("NodesReady", (RESOURCE_READY,), "All nodes are Ready and show their GPUs.")
NODE_NOT_READY = _trouble(
    "NodeNotReady",
    _NODES,
    "A chosen node is not Ready.",
    "Run kubectl describe node; the node is replaced at the time in the message.",
)
NODE_LOST = _trouble(
    "NodeLost",
    _NODES,
    "A chosen node has vanished from the cluster.",
    "Wait; it is replaced at the time in the message.",
)
GPU_NOT_VISIBLE = _waiting(
    "GPUNotVisible",
    _RESOURCE,
    "A Ready node does not show the GPUs that the model needs; the device plugin may still be starting.",
)
GPU_MISSING = _trouble(
    "GPUMissing",
    _RESOURCE,
    "A Ready node has not shown enough GPUs for longer than the limit.",
    "Check the GPU driver and the device plugin on the node: kubectl describe node, and the plugin's pod.",
)
GPU_RELEASED = _terminal(
    "GPUReleased",
    _ALL,
    "What ran on the nodes failed for good, so the nodes were given back.",
    "Remove the cause that the message quotes, then change the Workspace or set the annotation kaito.sh/try-again to a new value.",
)

# --- what runs on the nodes ---------------------------------------------------------------------------------------------------------
WORKLOAD_PENDING = _waiting("WorkloadPending", _RUN, "The workload exists and has no running pod yet.")
WORKLOAD_REFUSED = _trouble(
    "WorkloadRefused",
    _ALL,
    "The API server refuses the Service, the workload or its pods; if a dry run found it, no node was ordered.",
    "Change what the message quotes (quota, policy, a field of the template).",
)
NAME_TAKEN = _trouble(
    "NameTaken",
    _ALL,
    "An object with the name that is needed exists and belongs to somebody else.",
    "Rename or delete that object, or recreate the Workspace under another name.",
)
NAME_BEING_FREED = _waiting(
    "NameBeingFreed",
    _ALL,
    "An object with the name that is needed is being deleted, or was made for a Workspace of this name that was deleted.",
    "None needed. If it persists, remove what keeps the object, usually one of its finalizers.",
)
POD_UNSCHEDULABLE = _trouble(
    "PodUnschedulable",
    _RUN,
    "The scheduler finds no room for the pod on the chosen nodes.",
    "Free the GPUs of the node that the message names, or remove what the scheduler complains about.",
)
POD_STARTING = _waiting("PodStarting", _RUN, "Images are being pulled and volumes mounted.")
IMAGE_PULL_FAILED = _trouble(
    "ImagePullFailed",
    _RUN,
    "The kubelet cannot pull an image.",
    "Check the image name, the registry and the pull secret that the message names.",
)
CONTAINER_CONFIG_INVALID = _trouble(
    "ContainerConfigInvalid",
    _ALL,
    "A Secret, ConfigMap or PersistentVolumeClaim that the pod needs is missing, or lacks a key.",
    "Create what the message names in the Workspace's namespace.",
)
MODEL_LOADING = _waiting(
    "ModelLoading", _SERVE, "The container is running, but the model server does not answer its health check yet."
)
CONTAINER_CRASHING = _trouble(
    "ContainerCrashing",
    _RUN,
    "A container keeps exiting; the message has its exit code and last words.",
    "Run the command in the message: it shows the log of the run that ended.",
)
OUT_OF_MEMORY = _trouble(
    "OutOfMemory",
    _RUN,
    "A container was killed because the node or its limit had no memory left.",
    "Use an instance type with more memory.",
)
READINESS_TIMED_OUT = _trouble(
    "ReadinessTimedOut",
    _SERVE,
    "The model server did not become ready within the model's time limit.",
    "Run kubectl logs on the pod that the message names.",
)
ROLLING_OUT = _waiting("RollingOut", _SERVE, "The workload is being changed to what the Workspace asks for now.")
INFERENCE_SERVING = _good(
    "InferenceServing", (INFERENCE_READY, WORKSPACE_READY), "All replicas answer their health check."
)

INFERENCE_CONFIG_MISSING = _trouble(
    "InferenceConfigMissing",
    _SERVE,
    "The ConfigMap that inference.config names does not exist in the namespace.",
    "Create the ConfigMap that the message names.",
)
INFERENCE_CONFIG_INVALID = _terminal(
    "InferenceConfigInvalid",
    _SERVE,
    "An engine option in the ConfigMap of inference.config cannot be used.",
    "Correct the key that the message names in the ConfigMap.",
)

# --- tuning -------------------------------------------------------------------------------------------------------------------------
TUNING_CONFIG_MISSING = _trouble(
    "TuningConfigMissing",
    _TUNE,
    "The ConfigMap with the training configuration exists neither in the namespace nor among the defaults.",
    "Create the ConfigMap that the message names.",
)
TUNING_CONFIG_INVALID = _terminal(
    "TuningConfigInvalid",
    _TUNE,
    "The training configuration breaks a rule.",
    "Correct the key that the message names in the ConfigMap.",
)
JOB_RUNNING = _good("JobRunning", (JOB_STARTED,), "The tuning Job has a running pod.")
TUNING_IN_PROGRESS = _waiting("TuningInProgress", (WORKSPACE_READY,), "The tuning Job is running.")
JOB_RESTARTING = _waiting(
    "JobRestarting", _TUNE, "Training depends on something that changed; the old run is removed first."
)
JOB_SUCCEEDED = _good("JobSucceeded", (JOB_STARTED,), "The tuning Job finished.")
TUNING_SUCCEEDED = _good("TuningSucceeded", (WORKSPACE_READY,), "The result was pushed.")
JOB_FAILED = _trouble(
    "JobFailed",
    _TUNE,
    "Download, training or push failed as often as is allowed; the nodes are being given back.",
    "Read the failed step in the message; correct it and change the Workspace or set the annotation kaito.sh/try-again to a new value.",
)

# --- deletion -----------------------------------------------------------------------------------------------------------------------
DELETING_WORKLOADS = _waiting(
    "DeletingWorkloads",
    (WORKSPACE_DELETING, *_ALL),
    "The workload is being removed.",
    "Wait, or find out why the object in the message remains.",
)
DELETING_MACHINES = _waiting(
    "DeletingMachines",
    (WORKSPACE_DELETING, *_ALL),
    "Machines or NodeClaims are being removed; the Workspace stays until they are gone.",
    "Wait; if it takes long, look at the object in the message and the provisioner's log.",
)
RELEASING = _waiting(
    "ReleasingNodes", (WORKSPACE_DELETING, *_ALL), "Everything is gone; the last marks are being removed."
)


def _collect(values: Iterable[object]) -> dict[str, Reason]:
    return {value.name: value for value in values if isinstance(value, Reason)}


REASONS: dict[str, Reason] = _collect(list(globals().values()))
"""All of them by name, in the order of the documentation."""
