"""Every condition reason a Machine can show, with its cause and its cure.

The table is data, so that the documentation is compared with it by a test and another program can import the names.
"""

from __future__ import annotations

from dataclasses import dataclass

# Waiting: nothing is wrong.
LAUNCH_IN_PROGRESS = "LaunchInProgress"
WAITING_FOR_TURN = "WaitingForRequestBudget"
CLOUD_BUSY = "CloudBusy"
CLOUD_THROTTLED = "CloudThrottled"
MACHINE_NOT_LAUNCHED = "MachineNotLaunched"
NODE_NOT_FOUND = "NodeNotFound"
NODE_NOT_READY = "NodeNotReady"
STARTUP_TAINTS_EXIST = "StartupTaintsExist"
EPHEMERAL_TAINTS_EXIST = "KnownEphemeralTaintsExist"
RESOURCE_NOT_REGISTERED = "ResourceNotRegistered"
DRAINING = "Draining"
POOL_DELETING = "PoolDeleting"
POOL_NOT_OWNED = "PoolNotOwned"

BETWEEN_STEPS = frozenset(
    {
        MACHINE_NOT_LAUNCHED,
        NODE_NOT_FOUND,
        NODE_NOT_READY,
        STARTUP_TAINTS_EXIST,
        EPHEMERAL_TAINTS_EXIST,
        RESOURCE_NOT_REGISTERED,
    }
)
"""The next step of a Machine on its way to a usable Node has not come yet."""
ON_THE_WAY = BETWEEN_STEPS | {LAUNCH_IN_PROGRESS, WAITING_FOR_TURN, CLOUD_BUSY, CLOUD_THROTTLED}
"""All that a Machine on its way passes through while nothing is wrong."""

# The cloud said no.
QUOTA_EXCEEDED = "QuotaExceeded"
INSTANCE_TYPE_NOT_OFFERED = "InstanceTypeNotOffered"
INSUFFICIENT_CAPACITY = "InsufficientCapacity"
INVALID_MACHINE = "InvalidMachine"
POOL_NAME_TAKEN = "PoolNameTaken"
POOL_CONFLICT = "PoolConflict"
CLOUD_ACCESS_DENIED = "CloudAccessDenied"
LAUNCH_FAILED = "LaunchFailed"

# Something broke afterwards.
MULTIPLE_NODES_FOUND = "MultipleNodesFound"
POOL_GONE = "PoolGone"
LAUNCH_TIMEOUT = "LaunchTimeout"
REGISTRATION_TIMEOUT = "RegistrationTimeout"
NODE_UNHEALTHY = "NodeUnhealthy"
NODE_DELETED = "NodeDeleted"
POOL_IN_MAINTENANCE = "PoolInMaintenance"
INITIALIZATION_TIMEOUT = "InitializationTimeout"


@dataclass(frozen=True, slots=True)
class ReasonEntry:
    """One row of the documentation: what the reason means and what a person should do.

    Both are templates: `{cloud}`, `{pool}` and the like are filled in with the words of the cloud (`CloudProfile.told`).
    """

    reason: str
    condition: str
    cause: str
    cure: str


REASONS: tuple[ReasonEntry, ...] = (
    ReasonEntry(
        LAUNCH_IN_PROGRESS,
        "MachineLaunched",
        "The {pool} is being ordered and created by {service}.",
        "Wait; GPU pools take 3 to 10 minutes.",
    ),
    ReasonEntry(
        WAITING_FOR_TURN,
        "MachineLaunched",
        "More pools are wanted than the request budget for {cloud} allows at once; nothing has been sent for this Machine yet.",
        "Wait: namespaces take turns, and the launch limit does not run. {budget_flags} set it.",
    ),
    ReasonEntry(
        CLOUD_BUSY,
        "MachineLaunched",
        "{service} is running another operation on the cluster or pool and refuses a second one.",
        "Wait; it is retried automatically.",
    ),
    ReasonEntry(
        CLOUD_THROTTLED,
        "MachineLaunched",
        "{cloud} is throttling our requests.",
        "Wait; it is retried when {cloud} allows it.",
    ),
    ReasonEntry(
        QUOTA_EXCEEDED,
        "MachineLaunched",
        "The subscription does not have enough cores of the VM family in the region.",
        "Ask for more quota of the named family and region, or free cores; it is retried slowly.",
    ),
    ReasonEntry(
        INSTANCE_TYPE_NOT_OFFERED,
        "MachineLaunched",
        "None of the requested instance types is sold to this subscription in this region or zone.",
        "Ask for another instance type, region or zone.",
    ),
    ReasonEntry(
        INSUFFICIENT_CAPACITY,
        "MachineLaunched",
        "{cloud} has no free machines of the requested instance types right now.",
        "Wait, list more instance types, or use another zone or region; it is retried automatically.",
    ),
    ReasonEntry(
        INVALID_MACHINE,
        "MachineLaunched",
        "A field of the Machine cannot be turned into {a_pool}, or {service} refused its value.",
        "Correct the named field in what ordered the Machine; a Machine that was made by hand has to be deleted and recreated.",
    ),
    ReasonEntry(
        POOL_NAME_TAKEN,
        "MachineLaunched",
        "{A_pool} with the Machine's name exists and does not carry our tag; it is not touched.",
        "Give the Machine another name, or delete that pool if it is not needed.",
    ),
    ReasonEntry(
        POOL_CONFLICT,
        "MachineLaunched",
        "Another writer changed the {pool} at the same time, or an earlier Machine of this name still owns it.",
        "Wait; the pool is read again. If it persists, find who else edits the pool.",
    ),
    ReasonEntry(
        CLOUD_ACCESS_DENIED,
        "MachineLaunched",
        "{cloud} refused our identity, or the cluster named in the settings does not exist.",
        "{role_cure}",
    ),
    ReasonEntry(
        LAUNCH_FAILED,
        "MachineLaunched",
        "{cloud} failed with an error that is not in our tables; the message has its own words and code.",
        "Read the message; it is retried with backoff.",
    ),
    ReasonEntry(
        LAUNCH_TIMEOUT,
        "MachineLaunched",
        "No {pool} was ready within the launch limit; the Machine is deleted.",
        "See the previous reason; the creator may make a new Machine.",
    ),
    ReasonEntry(
        MACHINE_NOT_LAUNCHED, "MachineRegistered", "The previous step has not happened yet.", "See MachineLaunched."
    ),
    ReasonEntry(
        NODE_NOT_FOUND,
        "MachineRegistered",
        "The pool is ready but its Node has not joined, or the Node object is gone.",
        "Wait; after the limit the Machine is deleted. Check the VM's boot and the cluster's network.",
    ),
    ReasonEntry(
        MULTIPLE_NODES_FOUND,
        "MachineRegistered",
        "The pool has more than one Node although it was made with one.",
        "Scale the pool back to one node.",
    ),
    ReasonEntry(
        REGISTRATION_TIMEOUT,
        "MachineRegistered",
        "No Node joined within the registration limit; the Machine is deleted.",
        "Check the VM's boot, outbound network and subnet of the pool.",
    ),
    ReasonEntry(
        NODE_NOT_READY,
        "MachineInitialized",
        "The kubelet does not report the Node as Ready.",
        "Wait; after the unhealthy limit the Machine is deleted and its creator replaces it.",
    ),
    ReasonEntry(
        STARTUP_TAINTS_EXIST,
        "MachineInitialized",
        "A startup taint of the Machine is still on the Node.",
        "The owner of the taint has to remove it.",
    ),
    ReasonEntry(
        EPHEMERAL_TAINTS_EXIST, "MachineInitialized", "Kubernetes has not finished preparing the Node.", "Wait."
    ),
    ReasonEntry(
        RESOURCE_NOT_REGISTERED,
        "MachineInitialized",
        "A requested resource, such as nvidia.com/gpu, is not allocatable on the Node yet.",
        "Check that the device plugin runs on the Node.",
    ),
    ReasonEntry(
        INITIALIZATION_TIMEOUT,
        "MachineInitialized",
        "The Node was there but not initialized within the limit; the Machine is deleted.",
        "See the previous reason: a startup taint, or a device plugin that does not run.",
    ),
    ReasonEntry(
        NODE_DELETED,
        "Ready",
        "Somebody deleted the Node object; the Machine and its {pool} go with it.",
        "None needed; its creator makes a new one.",
    ),
    ReasonEntry(
        NODE_UNHEALTHY,
        "Ready",
        "The Node was not Ready for longer than the unhealthy limit while its pool was running; the Machine is deleted.",
        "None needed; its creator makes a new one.",
    ),
    ReasonEntry(
        POOL_IN_MAINTENANCE,
        "Ready",
        "The Node is not Ready while its {pool} is being upgraded, changed or restarted, or is stopped; Ready is Unknown.",
        "Wait, or start a stopped pool; no limit runs meanwhile, and the Node is expected back.",
    ),
    ReasonEntry(
        POOL_GONE,
        "Ready",
        "Somebody else deleted the {pool}; the Machine is deleted.",
        "None needed; its creator makes a new one.",
    ),
    ReasonEntry(
        DRAINING,
        "Ready",
        "The Machine is being deleted and pods are still being evicted from its Node.",
        "If it persists, look at the PodDisruptionBudgets of the named pods.",
    ),
    ReasonEntry(
        POOL_DELETING,
        "Ready",
        "The Machine is being deleted and its {pool} is not gone yet.",
        "Wait; if {cloud} refuses, the message has its words.",
    ),
    ReasonEntry(
        POOL_NOT_OWNED,
        "Ready",
        "The Machine is being deleted, and the {pool} behind it does not carry our tag: it is not ours to delete and still costs money.",
        "Adopt the pool (`--adopt-unmarked-pools`, or the tag in the message) or delete it by hand; the Machine then goes by itself.",
    ),
)
"""In the order in which a Machine can meet them."""
