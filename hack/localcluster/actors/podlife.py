"""The life of one pod on its node, simulated: images, init containers and sidecars, restarts, readiness, the end.

A state machine over monotonic time. `advance` takes every transition that is due and says when the next one is; `status` tells what a
kubelet would report. No I/O and no clock in here: the kubelet passes the time in, already in real seconds, and the scaled durations. A
container that really runs is a `RunningProgram`, which tells when it is ready and how it ended; all else about it is simulated too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from controller_runtime.resources import Object, name_of, namespace_of, uid_of
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from hack.localcluster.actors.pods import containers_of, is_sidecar
from hack.localcluster.actors.podwork import Work, task_of
from hack.localcluster.durations import Durations

FindFault = Callable[[Object, Object, bool], PodFault | None]
Say = Callable[[str, str, str], None]


class ProgramEnd(Protocol):
    """How a program ended."""

    @property
    def exit_code(self) -> int: ...
    @property
    def message(self) -> str: ...


class RunningProgram(Protocol):
    """A container that is a process of this machine."""

    def ended(self) -> ProgramEnd | None:
        """None while it runs."""

    def is_ready(self) -> bool:
        """Whether its readiness probe succeeds."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it."""


RunProgram = Callable[[Object, Object], RunningProgram | None]
"""(pod, container) → what was started; None for a container that is played."""
MODEL_PORT = 5000


class Stage(Enum):
    """Where a container is in its life."""

    WAITING = "waiting"
    PULLING = "pulling"
    PULL_FAILED = "pull_failed"
    STARTING = "starting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(slots=True)
class ContainerRun:
    """One container's state. Times are monotonic; stamps are RFC 3339 for the status."""

    stage: Stage = Stage.WAITING
    since: float = 0.0
    restarts: int = 0
    runs: int = 0
    pull_failures: int = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""
    last: Object | None = None
    fault: PodFault | None = None
    program: RunningProgram | None = None


@dataclass(slots=True)
class Moment:
    """Now, in both clocks."""

    monotonic: float
    stamp: str


@dataclass(slots=True)
class PodLife:
    """A pod as its kubelet sees it."""

    durations: Durations
    scale: Callable[[float], float]
    find_fault: FindFault
    say: Say
    image_is_cached: Callable[[str], bool]
    cache_image: Callable[[str], None]
    born: float
    ip: str
    started_at: str = ""
    runs: dict[str, ContainerRun] = field(default_factory=dict)
    killed_at: float | None = None
    run_program: RunProgram = lambda pod, container: None

    @property
    def programs(self) -> list[RunningProgram]:
        """Those that have not ended."""
        started = [run.program for run in self.runs.values() if run.stage is Stage.RUNNING and run.program is not None]
        return [program for program in started if program.ended() is None]

    @property
    def _sandbox_ready(self) -> float:
        return self.born + self.scale(self.durations.sandbox_s)

    def is_due_to_start(self, now: Moment) -> bool:
        """Nothing of it has begun, and the next `advance` begins it."""
        return not self.started_at and now.monotonic >= self._sandbox_ready

    def advance(self, pod: Object, now: Moment) -> float | None:
        """Take what is due; returns the monotonic time of the next transition, None when only the outside can change anything."""
        if now.monotonic < self._sandbox_ready:
            return self._sandbox_ready
        self.started_at = self.started_at or now.stamp
        while True:
            wakes = [self._step(pod, container, now) for container in self._eligible(pod)]
            if not any(wake is not None and wake <= now.monotonic for wake in wakes):
                break
        wakes += [self._ready_at(c) for c in containers_of(pod)]
        future = [wake for wake in wakes if wake is not None and wake > now.monotonic]
        return min(future, default=None)

    def run_of(self, container: Object) -> ContainerRun:
        """The state of a container."""
        return self.runs.setdefault(str(container["name"]), ContainerRun(since=self.born))

    def _eligible(self, pod: Object) -> list[Object]:
        """Containers whose turn it is: init containers one after another, then the others; sidecars go on beside."""
        turn: list[Object] = []
        for container in containers_of(pod, "initContainers"):
            run = self.run_of(container)
            turn.append(container)
            if is_sidecar(container):
                if not run.runs:
                    return turn
            elif not (run.stage is Stage.TERMINATED and run.exit_code == 0):
                return turn
        return turn + containers_of(pod)

    def _step(self, pod: Object, container: Object, now: Moment) -> float | None:
        """At most one transition of one container; returns when the next is due (not later than now if one was made)."""
        run = self.run_of(container)
        due = self._due(pod, container, run)
        if due is None or due > now.monotonic:
            return due
        {
            Stage.WAITING: self._begin_pull,
            Stage.PULLING: self._end_pull,
            Stage.PULL_FAILED: self._begin_pull,
            Stage.STARTING: self._start,
            Stage.RUNNING: self._end,
            Stage.TERMINATED: self._restart,
        }[run.stage](pod, container, run, now)
        return now.monotonic

    def _due(self, pod: Object, container: Object, run: ContainerRun) -> float | None:
        d, scale = self.durations, self.scale
        if run.stage is Stage.WAITING:
            return run.since
        if run.stage is Stage.PULLING:
            cached = self.image_is_cached(str(container.get("image", "")))
            return run.since + (0.0 if cached else scale(d.image_pull_s))
        if run.stage is Stage.PULL_FAILED:
            return run.since + scale(backoff_s(d, run.pull_failures))
        if run.stage is Stage.STARTING:
            return run.since + scale(d.container_start_s)
        if run.stage is Stage.RUNNING:
            return self._ends_at(pod, container, run)
        return run.since + scale(backoff_s(d, run.restarts + 1)) if _restarts(pod, container, run) else None

    def _ends_at(self, pod: Object, container: Object, run: ContainerRun) -> float | None:
        if run.program is not None:
            return None if run.program.ended() is None else run.since
        if run.fault is not None and run.fault.kind in (PodFaultKind.CRASH, PodFaultKind.OOM, PodFaultKind.EXIT):
            return run.since + self.scale(self.durations.crash_after_s)
        if is_sidecar(container):
            return None
        if container in containers_of(pod, "initContainers"):
            trains = (task_of(container) or ("",))[0] == "training"
            return run.since + self.scale(self.durations.training_s if trains else self.durations.init_container_run_s)
        ends = (pod.get("spec") or {}).get("restartPolicy", "Always") != "Always"
        return run.since + self.scale(self.durations.job_container_run_s) if ends else None

    def _begin_pull(self, pod: Object, container: Object, run: ContainerRun, now: Moment) -> None:
        image = str(container.get("image", ""))
        run.fault = self.find_fault(pod, container, True)
        run.stage, run.since = Stage.PULLING, now.monotonic
        if not self.image_is_cached(image):
            self.say("Normal", "Pulling", f'Pulling image "{image}"')

    def _end_pull(self, pod: Object, container: Object, run: ContainerRun, now: Moment) -> None:
        image = str(container.get("image", ""))
        run.since = now.monotonic
        if run.fault is not None and run.fault.kind is PodFaultKind.PULL:
            run.stage, run.pull_failures = Stage.PULL_FAILED, run.pull_failures + 1
            run.message = run.fault.message or pull_error(image)
            self.say("Warning", "Failed", f'Failed to pull image "{image}": {run.message}')
            self.say(
                "Warning", "Failed", "Error: ErrImagePull" if run.pull_failures == 1 else "Error: ImagePullBackOff"
            )
            return
        run.stage, run.pull_failures, run.message = Stage.STARTING, 0, ""
        if self.image_is_cached(image):
            self.say("Normal", "Pulled", f'Container image "{image}" already present on machine')
        else:
            self.cache_image(image)
            self.say("Normal", "Pulled", f'Successfully pulled image "{image}"')
        self.say("Normal", "Created", f"Created container: {container['name']}")

    def _start(self, pod: Object, container: Object, run: ContainerRun, now: Moment) -> None:
        run.stage, run.since, run.started_at = Stage.RUNNING, now.monotonic, now.stamp
        run.runs += 1
        run.program = self.run_program(pod, container) if run.fault is None else None
        self.say("Normal", "Started", f"Started container {container['name']}")

    def _end(self, pod: Object, container: Object, run: ContainerRun, now: Moment) -> None:
        run.stage, run.since, run.finished_at = Stage.TERMINATED, now.monotonic, now.stamp
        run.exit_code, run.reason, run.message = 0, "Completed", ""
        end = run.program.ended() if run.program is not None else None
        if end is not None:
            run.exit_code, run.reason, run.message = (
                end.exit_code,
                "Error" if end.exit_code else "Completed",
                end.message,
            )
        if run.fault is not None:
            oom = run.fault.kind is PodFaultKind.OOM
            run.exit_code = 137 if oom else run.fault.exit_code
            run.reason = "OOMKilled" if oom else ("Error" if run.exit_code else "Completed")
            # Played programs write to their log only, and the kubelet reads that on request only.
            if run.exit_code and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
                run.message = run.fault.message

    def _restart(self, pod: Object, container: Object, run: ContainerRun, now: Moment) -> None:
        run.last = _terminated_state(run)
        run.restarts += 1
        run.stage, run.since = Stage.WAITING, now.monotonic

    def _ready_at(self, container: Object) -> float | None:
        """When the container answers its probes; None when it never will (or does not run)."""
        run = self.run_of(container)
        if run.stage is not Stage.RUNNING or (run.fault is not None and run.fault.kind is PodFaultKind.NEVER_READY):
            return None
        if run.program is not None:
            return run.since if run.program.is_ready() else None
        delay_s = 0.0
        for probe in ("startupProbe", "readinessProbe"):
            delay_s += float((container.get(probe) or {}).get("initialDelaySeconds") or 0)
        if any(port.get("containerPort") == MODEL_PORT for port in container.get("ports") or []):
            delay_s = max(delay_s, self.durations.model_load_s)
        if (task_of(container) or ("",))[0] == "fetching":
            delay_s += self.durations.weights_fetch_s
        return run.since + self.scale(delay_s)

    def work(self, pod: Object) -> Work | None:
        """What the played container that runs now counts."""
        for container in self._eligible(pod):
            run, task = self.run_of(container), task_of(container)
            if task is not None and run.stage is Stage.RUNNING and run.program is None:
                d = self.durations
                takes_s = d.training_s if task[0] == "training" else d.weights_fetch_s
                return Work(*task, run.since, self.scale(takes_s))
        return None

    def is_container_ready(self, container: Object, now: float) -> bool:
        """Whether its probes succeed now."""
        ready_at = self._ready_at(container)
        return ready_at is not None and ready_at <= now


def backoff_s(durations: Durations, failures: int) -> float:
    """The pause before try number `failures + 1`: doubling up to the cap."""
    return min(durations.restart_backoff_cap_s, durations.restart_backoff_s * 2.0 ** max(0, failures - 1))


def pull_error(image: str) -> str:
    """What containerd says of an image that is not there."""
    return f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": failed to resolve reference: not found'


def _restarts(pod: Object, container: Object, run: ContainerRun) -> bool:
    """Whether a container that ended is started again."""
    if is_sidecar(container):
        return True
    policy = (pod.get("spec") or {}).get("restartPolicy", "Always")
    if container in containers_of(pod, "initContainers"):
        return run.exit_code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and run.exit_code != 0)


def container_id(pod: Object, container: Object, run: ContainerRun) -> str:
    """Differs for every run."""
    text = f"{uid_of(pod)}/{container['name']}/{run.runs}"
    return "containerd://" + hashlib.sha256(text.encode()).hexdigest()


def _terminated_state(run: ContainerRun) -> Object:
    state = {
        "exitCode": run.exit_code,
        "reason": run.reason,
        "startedAt": run.started_at,
        "finishedAt": run.finished_at,
    }
    return {"terminated": {**state, "message": run.message} if run.message else state}


def container_state(
    pod: Object, container: Object, run: ContainerRun, durations: Durations, waiting_reason: str
) -> Object:
    """`state` of a container status."""
    if run.stage is Stage.RUNNING:
        return {"running": {"startedAt": run.started_at}}
    if run.stage is Stage.TERMINATED and _restarts(pod, container, run):
        pause = f"back-off {backoff_s(durations, run.restarts + 1):g}s restarting failed container={container['name']}"
        who = f"pod={name_of(pod)}_{namespace_of(pod)}({uid_of(pod)})"
        return {"waiting": {"reason": "CrashLoopBackOff", "message": f"{pause} {who}"}}
    if run.stage is Stage.TERMINATED:
        return _terminated_state(run)
    if run.stage is Stage.PULL_FAILED or (run.pull_failures and run.stage is Stage.PULLING):
        first = run.pull_failures == 1
        text = run.message if first else f'Back-off pulling image "{container.get("image", "")}": {run.message}'
        return {"waiting": {"reason": "ErrImagePull" if first else "ImagePullBackOff", "message": text}}
    return {"waiting": {"reason": waiting_reason}}
