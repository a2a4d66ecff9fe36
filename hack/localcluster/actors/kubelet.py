"""The kubelets' pod side: run the simulated life of every pod on a node of the fleet and report it.

Pods on nodes that are not ours (a real cluster's) are left alone. On an unreachable node nothing is reported and nothing ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from controller_runtime.controller.controller import Request, Result
from controller_runtime.errors import NotFound
from controller_runtime.resources import (
    NODES,
    PODS,
    Object,
    Resource,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from hack.localcluster.actors.fleet import Fleet
from hack.localcluster.actors.podfaults import PodFaults
from hack.localcluster.actors.podlife import MODEL_PORT, ContainerRun, Moment, PodLife, RunningProgram, Stage
from hack.localcluster.actors.podmounts import failed_mount
from hack.localcluster.actors.pods import containers_of, is_ready, is_terminated, node_of
from hack.localcluster.actors.podstatus import pod_status, wanted_conditions
from hack.localcluster.actors.podwork import Work
from hack.localcluster.actors.world import NODE, World

WORKSPACE_LABEL = "kaito.sh/workspace"


class ModelHost(Protocol):
    """Who answers for pods that serve a model."""

    def open(self, pod: Object) -> None:
        """The pod is Ready."""

    def work(self, pod: Object, work: Work) -> None:
        """What it is busy with, or was until it was Ready."""

    def close(self, pod_uid: str) -> None:
        """It is not, or no more."""


class ProgramHost(Protocol):
    """Who runs the containers that are not played."""

    def start(self, pod: Object, container: Object, ip: str) -> RunningProgram | None:
        """A run of the container; None when it is to be played."""

    def forget(self, pod_uid: str) -> None:
        """The pod is gone, and with it everything of it."""


LOOK_S = 0.25
"""Real seconds between two looks at the programs of a pod."""
MOUNT_AGAIN_S = 0.5
"""Real seconds until the volumes of a pod are tried again; nothing tells that what was missing is there."""


class Kubelets:
    """Reconciles one pod on one of our nodes."""

    def __init__(
        self,
        world: World,
        fleet: Fleet,
        faults: PodFaults,
        models: ModelHost | None = None,
        programs: ProgramHost | None = None,
    ) -> None:
        self._world = world
        self._fleet = fleet
        self._faults = faults
        self._models = models
        self._programs = programs
        self._lock = threading.Lock()
        self._lives: dict[str, PodLife] = {}
        self._uids: dict[Request, str] = {}
        self._images: dict[str, set[str]] = {}
        self._addresses = 0
        controller = world.run("kubelet", self, {}, workers=4)
        self._controller = controller
        controller.watch(world.informer(PODS), _placed)
        controller.watch(world.informer(NODES), self._pods_on)

    def reconcile(self, request: Request) -> Result:
        """Advance the pod's life and report it; finish its deletion when its time has come."""
        pod = self._world.informer(PODS).get(request.name, request.namespace)
        self._forget_predecessor(request, pod)
        if pod is None or not node_of(pod):
            return Result()
        member = self._fleet.member(node_of(pod))
        if member is None or member.health == "unreachable":
            return Result()
        life = self._life_of(request, pod)
        if is_deleting(pod):
            return self._end(pod, life)
        if is_terminated(pod):
            return Result()
        now = Moment(self._now(), self._world.now())
        unmounted = life.is_due_to_start(now) and failed_mount(pod, lambda kind, name: self._find(kind, name, pod))
        if unmounted:
            life.say("Warning", "FailedMount", unmounted)
        wake = now.monotonic + MOUNT_AGAIN_S if unmounted else life.advance(pod, now)
        self._report(pod, life, now, member.address, healthy=member.health == "ready")
        pauses = [LOOK_S] if life.programs else []
        pauses += [] if wake is None else [max(0.005, wake - self._now())]
        return Result(requeue_after_s=min(pauses, default=None))

    def _find(self, kind: Resource, name: str, pod: Object) -> Object | None:
        try:
            return self._world.client.get(kind, name, namespace_of(pod))
        except NotFound:
            return None

    def _forget_predecessor(self, request: Request, pod: Object | None) -> None:
        """A pod of the same name with another UID is another pod."""
        uid = uid_of(pod) if pod is not None else ""
        with self._lock:
            before = self._uids.get(request, "")
            if before and before != uid:
                self._lives.pop(before, None)
                del self._uids[request]
        if before and before != uid:
            if self._models is not None:
                self._models.close(before)
            if self._programs is not None:
                self._programs.forget(before)

    def _life_of(self, request: Request, pod: Object) -> PodLife:
        with self._lock:
            life = self._lives.get(uid_of(pod))
            if life is None:
                life = self._new_life(pod)
                self._lives[uid_of(pod)] = life
                self._uids[request] = uid_of(pod)
            return life

    def _new_life(self, pod: Object) -> PodLife:
        self._addresses += 1
        images = self._images.setdefault(node_of(pod), set())
        status = pod.get("status") or {}
        ip = status.get("podIP") or self._address(self._addresses)
        life = PodLife(
            durations=self._world.durations,
            scale=self._world.timeline.scaled,
            find_fault=lambda about, container, spend: self._faults.find(about, container, spend=spend),
            say=self._sayer(pod),
            image_is_cached=images.__contains__,
            cache_image=images.add,
            born=self._now(),
            ip=ip,
        )
        if self._programs is not None:
            programs = self._programs
            life.run_program = lambda about, container: programs.start(about, container, ip)
        resume(life, pod, self._now())
        return life

    def _address(self, number: int) -> str:
        """Programs can listen on loopback only, of which every pod has an address of its own."""
        network = "10.244" if self._programs is None else "127.244"
        return f"{network}.{number // 250 % 250}.{number % 250 + 1}"

    def _sayer(self, pod: Object) -> Callable[[str, str, str], None]:
        return lambda kind, reason, note: self._world.recorder.record("kubelet", PODS, pod, kind, reason, note)

    def _report(self, pod: Object, life: PodLife, now: Moment, address: str, *, healthy: bool) -> None:
        status = pod_status(pod, life, now.monotonic, address)
        wanted = wanted_conditions(pod, life, status)
        if not healthy:
            wanted["Ready"] = ("False", "", "")
        status["conditions"] = self._world.merge_conditions(pod, wanted)
        self._world.patch_status(PODS, pod, status)
        self._serve(pod, wanted["Ready"][0] == "True", life.work(pod))

    def _serve(self, pod: Object, ready: bool, work: Work | None) -> None:
        if self._models is None:
            return
        if ready and _serves_a_model(pod):
            self._models.open(pod)
        else:
            self._models.close(uid_of(pod))
        if work is not None:
            self._models.work(pod, work)

    def _end(self, pod: Object, life: PodLife) -> Result:
        """Let the containers end within the grace period, then remove the object for good."""
        if self._models is not None:
            self._models.close(uid_of(pod))
        if life.killed_at is None:
            life.killed_at = self._now()
            for container in containers_of(pod):
                if life.run_of(container).stage is Stage.RUNNING:
                    life.say("Normal", "Killing", f"Stopping container {container['name']}")
            for program in life.programs:
                program.terminate()
        grace_s = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        takes_s = self._world.timeline.scaled(min(grace_s, self._world.durations.pod_termination_s))
        left_s = life.killed_at + takes_s - self._now()
        if life.programs:  # real ones, and so in real time
            left_s = min(LOOK_S, life.killed_at + grace_s - self._now())
        if left_s > 0:
            return Result(requeue_after_s=left_s)
        self._world.delete(PODS, pod, grace_period_s=0)
        return Result()

    def _pods_on(self, node: Object) -> Iterable[Request]:
        return [Request.for_object(pod) for pod in self._world.informer(PODS).by_index(NODE, name_of(node))]

    def _now(self) -> float:
        return self._world.timeline.clock.monotonic()


def _serves_a_model(pod: Object) -> bool:
    """A pod of a Workspace does, on whatever port; another one on the port of model servers, or when it says nothing of ports."""
    ports = [port.get("containerPort") for c in containers_of(pod) for port in c.get("ports") or []]
    return not ports or MODEL_PORT in ports or WORKSPACE_LABEL in labels_of(pod)


def _placed(pod: Object) -> Iterable[Request]:
    return [Request.for_object(pod)] if node_of(pod) else []


def resume(life: PodLife, pod: Object, now: float) -> None:
    """Take over a pod that ran before this process: its containers go on as their statuses say."""
    status = pod.get("status") or {}
    for entry in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        run = ContainerRun(since=now, restarts=int(entry.get("restartCount", 0)), last=entry.get("lastState") or None)
        state = entry.get("state") or {}
        if "running" in state:
            run.stage, run.runs = Stage.RUNNING, 1
            run.started_at = state["running"].get("startedAt", "")
            run.since = now - 1e6 if is_ready(pod) else now
        elif "terminated" in state:
            ended = state["terminated"]
            run.stage, run.runs, run.exit_code = Stage.TERMINATED, 1, int(ended.get("exitCode", 0))
            run.reason, run.message = ended.get("reason", ""), ended.get("message", "")
            run.started_at, run.finished_at = ended.get("startedAt", ""), ended.get("finishedAt", "")
        life.runs[entry["name"]] = run
    life.started_at = str(status.get("startTime", ""))
    if life.started_at:
        life.born = now - life.durations.sandbox_s
