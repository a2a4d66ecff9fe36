"""What a kubelet reports about a pod: phase, conditions and container statuses, computed from the pod's simulated life."""

from __future__ import annotations

from controller_runtime.resources import Object
from hack.localcluster.actors.podlife import (
    ContainerRun,
    PodLife,
    Stage,
    _restarts,
    _terminated_state,
    container_id,
    container_state,
)
from hack.localcluster.actors.pods import containers_of, is_sidecar


def pod_status(pod: Object, life: PodLife, now: float, host_ip: str) -> Object:
    """Everything but the conditions' times, which the writer merges in."""
    init, main = containers_of(pod, "initContainers"), containers_of(pod)
    initialized = all(_init_done(container, life.run_of(container)) for container in init)
    waiting = "ContainerCreating" if initialized and not init else "PodInitializing"
    status: Object = {
        "phase": phase(pod, life, initialized),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "containerStatuses": [container_status(pod, c, life, now, waiting) for c in main],
    }
    if init:
        status["initContainerStatuses"] = [container_status(pod, c, life, now, "PodInitializing") for c in init]
    if life.started_at:
        status |= {"startTime": life.started_at, "podIP": life.ip, "podIPs": [{"ip": life.ip}]}
    return status


def wanted_conditions(pod: Object, life: PodLife, status: Object) -> dict[str, tuple[str, str, str]]:
    """Type → status, reason, message."""
    init = containers_of(pod, "initContainers")
    undone = [c["name"] for c in init if not _init_done(c, life.run_of(c))]
    unready = [entry["name"] for entry in status["containerStatuses"] if not entry["ready"]]
    unready += [
        e["name"]
        for e, c in zip(status.get("initContainerStatuses", []), init, strict=False)
        if is_sidecar(c) and not e["ready"]
    ]
    completed = status["phase"] == "Succeeded"
    if completed:
        not_ready = ("False", "PodCompleted", "")
    else:
        not_ready = ("False", "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    ready = ("True", "", "") if not unready and not completed and not undone else not_ready
    incomplete = ("False", "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(undone)}]")
    return {
        "PodReadyToStartContainers": ("True" if life.started_at else "False", "", ""),
        "Initialized": incomplete if undone else ("True", "PodCompleted" if completed else "", ""),
        "ContainersReady": ready,
        "Ready": ready,
        "PodScheduled": ("True", "", ""),
    }


def container_status(pod: Object, container: Object, life: PodLife, now: float, waiting_reason: str) -> Object:
    """One entry of containerStatuses."""
    run = life.run_of(container)
    is_init = container in containers_of(pod, "initContainers")
    finished_init = is_init and not is_sidecar(container) and run.stage is Stage.TERMINATED and run.exit_code == 0
    status: Object = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": f"{container.get('image', '')}@sha256:{'0' * 64}" if run.runs else "",
        "ready": finished_init
        or (life.is_container_ready(container, now) if not is_init or is_sidecar(container) else False),
        "started": run.stage is Stage.RUNNING,
        "restartCount": run.restarts,
        "state": container_state(pod, container, run, life.durations, waiting_reason),
        "lastState": run.last or {},
    }
    if run.runs:
        status["containerID"] = container_id(pod, container, run)
    if run.stage is Stage.TERMINATED and _restarts(pod, container, run):
        status["lastState"] = _terminated_state(run)
    return status


def phase(pod: Object, life: PodLife, initialized: bool) -> str:
    """The kubelet's rules: waiting counts as Pending only before the first run."""
    policy = (pod.get("spec") or {}).get("restartPolicy", "Always")
    if not initialized:
        failed = any(_failed_for_good(pod, c, life.run_of(c)) for c in containers_of(pod, "initContainers"))
        return "Failed" if failed else "Pending"
    runs = [life.run_of(container) for container in containers_of(pod)]
    if any(run.stage is not Stage.RUNNING and not run.runs for run in runs):
        return "Pending"
    if any(run.stage is Stage.RUNNING for run in runs) or policy == "Always":
        return "Running"
    if any(run.stage is not Stage.TERMINATED for run in runs):
        return "Running"
    if all(run.exit_code == 0 for run in runs):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _init_done(container: Object, run: ContainerRun) -> bool:
    if is_sidecar(container):
        return bool(run.runs)
    return run.stage is Stage.TERMINATED and run.exit_code == 0


def _failed_for_good(pod: Object, container: Object, run: ContainerRun) -> bool:
    return run.stage is Stage.TERMINATED and run.exit_code != 0 and not _restarts(pod, container, run)
