"""Whose move it is for each reason, and which command to type next: data, by the names of the two reason tables.

Causes and cures are not repeated here; they come from `api/reasons.py` and `gpu_provisioner/api/reasons.py`. A reason that is not listed
(of a newer operator, or of another provisioner) takes the default of its kind, so that nothing here can be missing.
"""

from __future__ import annotations

from gpu_provisioner.api import reasons as machine_reasons
from kaito_controller.api import reasons
from kaito_controller.api.reasons import Reason, Severity

YOURS = "yours"
NOBODYS = "nobody's"
_CONTROLLER = "the controller's"
_CLOUD = "the cloud's"
_KUBELET = "the kubelet's"
_MODEL = "the model server's"
_TRAINER = "the trainer's"
_PLUGIN = "the device plugin's"
_ADMIN = "the cluster administrator's"

_MOVES: dict[Reason, str] = {
    reasons.INTERNAL_ERROR: _ADMIN,
    reasons.CACHE_STALE: _ADMIN,
    reasons.MACHINES_PENDING: _CLOUD,
    reasons.MACHINE_REPLACED: _CLOUD,
    reasons.NEXT_INSTANCE_TYPE: _CLOUD,
    reasons.PROVISIONER_SILENT: _ADMIN,
    reasons.MACHINE_API_MISSING: _ADMIN,
    reasons.NODE_NOT_READY: _KUBELET,
    reasons.NODE_LOST: _CONTROLLER,
    reasons.GPU_NOT_VISIBLE: _PLUGIN,
    reasons.GPU_MISSING: _ADMIN,
    reasons.WORKLOAD_PENDING: _CONTROLLER,
    reasons.NAME_BEING_FREED: _CONTROLLER,
    reasons.POD_STARTING: _KUBELET,
    reasons.MODEL_LOADING: _MODEL,
    reasons.ROLLING_OUT: _CONTROLLER,
    reasons.TUNING_IN_PROGRESS: _TRAINER,
    reasons.JOB_RESTARTING: _CONTROLLER,
    reasons.DELETING_WORKLOADS: _KUBELET,
    reasons.DELETING_MACHINES: _CLOUD,
    reasons.RELEASING: _CONTROLLER,
}

_MACHINE_MOVES = {
    machine_reasons.INSUFFICIENT_CAPACITY: _CLOUD,
    machine_reasons.POOL_CONFLICT: _CLOUD,
    machine_reasons.CLOUD_ACCESS_DENIED: _ADMIN,
    machine_reasons.POOL_NAME_TAKEN: _ADMIN,
    machine_reasons.POOL_NOT_OWNED: _ADMIN,
}
"""Of a node object's reasons, where it is not whoever the Workspace's reason says."""

_OF_SEVERITY = {
    Severity.GOOD: NOBODYS,
    Severity.WAITING: _CONTROLLER,
    Severity.TROUBLE: YOURS,
    Severity.TERMINAL: YOURS,
}

_WATCH = "kubectl kaito explain {workspace} -n {namespace} --watch"
_PLAN = "kubectl kaito plan {workspace} -n {namespace}"
_EDIT = "kubectl edit workspace {workspace} -n {namespace}"
_DESCRIBE = "kubectl describe workspace {workspace} -n {namespace}"
_DOCTOR = "kubectl kaito doctor"
_POD = "kubectl describe pod {pod} -n {namespace}"
_NODE = "kubectl describe node {node}"
_MACHINE = "kubectl describe {machine_kind} {machine}"
_LOGS = "kubectl kaito logs {workspace} -n {namespace}"
TRY_AGAIN = "{try_again}"
_CHAT = "kubectl kaito chat {workspace} -n {namespace}"

_COMMANDS: dict[Reason, str] = {
    reasons.INVALID_SPEC: _EDIT,
    reasons.MODEL_DOES_NOT_FIT: _PLAN,
    reasons.INTERNAL_ERROR: "kubectl kaito doctor --bundle report.tar.gz",
    reasons.CACHE_STALE: _DOCTOR,
    reasons.MACHINE_FAILING: _PLAN,
    reasons.QUOTA_SHORT: _PLAN,
    reasons.MACHINE_REPLACED: _PLAN,
    reasons.MACHINE_ATTEMPTS_EXHAUSTED: TRY_AGAIN,
    reasons.MACHINE_REFUSED: _DOCTOR,
    reasons.NODE_LIMIT_REACHED: "kubectl get workspaces -n {namespace}",
    reasons.PROVISIONER_SILENT: _DOCTOR,
    reasons.MACHINE_API_MISSING: _DOCTOR,
    reasons.NODE_NOT_READY: _NODE,
    reasons.NODE_LOST: _MACHINE,
    reasons.GPU_MISSING: _NODE,
    reasons.GPU_RELEASED: TRY_AGAIN,
    reasons.WORKLOAD_REFUSED: _DESCRIBE,
    reasons.NAME_TAKEN: "kubectl get service,deployment,statefulset,job {workspace} -n {namespace}",
    reasons.NAME_BEING_FREED: "kubectl get service,deployment,statefulset,job {workspace} -n {namespace} -o yaml",
    reasons.POD_UNSCHEDULABLE: _POD,
    reasons.IMAGE_PULL_FAILED: _POD,
    reasons.CONTAINER_CONFIG_INVALID: _POD,
    reasons.CONTAINER_CRASHING: _LOGS,
    reasons.OUT_OF_MEMORY: _PLAN,
    reasons.READINESS_TIMED_OUT: _LOGS,
    reasons.INFERENCE_SERVING: _CHAT,
    reasons.INFERENCE_CONFIG_MISSING: "kubectl get configmaps -n {namespace}",
    reasons.TUNING_CONFIG_MISSING: "kubectl get configmaps -n {namespace}",
    reasons.TUNING_IN_PROGRESS: _LOGS,
    reasons.TUNING_SUCCEEDED: "kubectl get workspace {workspace} -n {namespace} -o yaml",
    reasons.JOB_FAILED: _LOGS,
    reasons.DELETING_MACHINES: _MACHINE,
}

_COMMAND_OF_SEVERITY = {
    Severity.GOOD: _DESCRIBE,
    Severity.WAITING: _WATCH,
    Severity.TROUBLE: _DESCRIBE,
    Severity.TERMINAL: _DESCRIBE,
}


def move_of(reason: Reason, machine_reason: str = "") -> str:
    """Whose move it is, as `yours` or `the cloud's`. `machine_reason`: of the node object in trouble, if one is."""
    return _MACHINE_MOVES.get(machine_reason) or _MOVES.get(reason, _OF_SEVERITY[reason.severity])


def command_of(reason: Reason) -> str:
    """The command, with the names of objects in braces."""
    return _COMMANDS.get(reason, _COMMAND_OF_SEVERITY[reason.severity])
