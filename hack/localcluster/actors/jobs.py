"""The Job controller: pods until enough succeed, with backoff limits, deadlines, failure policies and a time to live.

Completion counts survive the deletion of pods (they are kept in status and by UID in memory). Not simulated: Indexed completion,
successPolicy, suspend with running pods being kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller_runtime.clock import parse_rfc3339
from controller_runtime.controller.controller import Request, Result, for_object
from controller_runtime.resources import JOBS, PODS, Object, is_deleting, name_of, uid_of
from hack.localcluster.actors.pods import (
    condition_is_true,
    is_active,
    is_ready,
    is_terminated,
    new_pod,
    phase_of,
    safe_hash,
)
from hack.localcluster.actors.podstocome import REFUSED_RETRY_S, PodRefusedError, PodsToCome
from hack.localcluster.actors.world import World, request_for_owner

RETRY_BACKOFF_S = 10.0
RETRY_BACKOFF_CAP_S = 600.0
Verdict = tuple[str, str]
"""Reason and message of a Job's failure."""


@dataclass(slots=True)
class Tally:
    """What a Job's pods have come to: the UIDs that are counted, and the sums."""

    counted: set[str]
    succeeded: int
    failed: int


class Jobs:
    """Reconciles one Job."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pods = PodsToCome(world)
        self._tallies: dict[str, Tally] = {}
        world.run("job", self, {JOBS: for_object, PODS: request_for_owner(JOBS.kind)}, workers=2)

    def reconcile(self, request: Request) -> Result:
        """Count what ended, decide whether the Job has, else keep as many pods active as it wants."""
        job = self._world.informer(JOBS).get(request.name, request.namespace)
        if job is None or is_deleting(job):
            return Result()
        if ended := finished_at(job):
            return self._expire(job, ended)
        pods = self._pods.pods_of(job)
        status = self._count(job, pods)
        verdict = self._verdict(job, pods, status)
        active = [pod for pod in pods if is_active(pod)]
        if verdict is not None or status["succeeded"] >= completions_of(job):
            for pod in active:
                self._pods.delete(pod)
            return self._finish(job, status, verdict, pods)
        wait_s = self._keep_active(job, status, active)
        status["active"] = len([pod for pod in self._pods.pods_of(job) if is_active(pod)])
        status["ready"] = sum(1 for pod in active if is_ready(pod))
        self._world.patch_status(JOBS, job, status)
        return Result(requeue_after_s=_earliest(wait_s, self._deadline_in(job, status)))

    def _count(self, job: Object, pods: list[Object]) -> Object:
        """Count each ended pod once. The tally leads and the status follows, because the cache may be older than our last write."""
        ended = [pod for pod in pods if is_terminated(pod)]
        tally = self._tallies.get(uid_of(job))
        if tally is None:
            tally = self._tallies[uid_of(job)] = resume_tally(job, ended)
        for pod in ended:
            if uid_of(pod) in tally.counted:
                continue
            tally.counted.add(uid_of(pod))
            if phase_of(pod) == "Succeeded":
                tally.succeeded += 1
            elif policy_action(job, pod) != "Ignore":
                tally.failed += 1
        started = (job.get("status") or {}).get("startTime") or self._world.now()
        return {"startTime": started, "succeeded": tally.succeeded, "failed": tally.failed}

    def _verdict(self, job: Object, pods: list[Object], status: Object) -> Verdict | None:
        for pod in pods:
            if phase_of(pod) == "Failed" and policy_action(job, pod) == "FailJob":
                return (
                    "PodFailurePolicy",
                    f"Pod {pod['metadata']['namespace']}/{name_of(pod)} failed as a FailJob rule says",
                )
        restarts = sum(_restarts(pod) for pod in pods if is_active(pod))
        if status["failed"] + restarts > int(job["spec"].get("backoffLimit", 6)):
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        left_s = self._deadline_in(job, status)
        if left_s is not None and left_s <= 0:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        return None

    def _deadline_in(self, job: Object, status: Object) -> float | None:
        """Real seconds until activeDeadlineSeconds (scaled) is over; None without one."""
        deadline = job["spec"].get("activeDeadlineSeconds")
        if deadline is None:
            return None
        started = parse_rfc3339(status["startTime"])
        return (
            self._world.timeline.scaled(float(deadline)) - (self._world.timeline.clock.now() - started).total_seconds()
        )

    def _keep_active(self, job: Object, status: Object, active: list[Object]) -> float | None:
        """Create missing pods; returns the real seconds to wait when a failure makes us back off."""
        if job["spec"].get("suspend"):
            for pod in active:
                self._pods.delete(pod)
            return None
        left = completions_of(job) - status["succeeded"]
        missing = min(int(job["spec"].get("parallelism", 1)), left) - len(active)
        if missing <= 0:
            return None
        wait_s = self._backoff_in(job, status)
        if wait_s > 0:
            return wait_s
        for _ in range(missing):
            pod = build_pod(job, self._pods.next_serial(), self._world.now())
            try:
                created = self._pods.create(job, pod)
            except PodRefusedError as error:
                self._event(job, "Warning", "FailedCreate", str(error))
                return REFUSED_RETRY_S
            if created:
                self._event(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return None

    def _backoff_in(self, job: Object, status: Object) -> float:
        failed = status["failed"]
        if not failed:
            return 0.0
        ends = [_ended_at(pod) for pod in self._pods.pods_of(job) if phase_of(pod) == "Failed"]
        latest = max((end for end in ends if end), default="")
        if not latest:
            return 0.0
        pause_s = self._world.timeline.scaled(min(RETRY_BACKOFF_CAP_S, RETRY_BACKOFF_S * 2 ** (failed - 1)))
        return pause_s - (self._world.timeline.clock.now() - parse_rfc3339(latest)).total_seconds()

    def _finish(self, job: Object, status: Object, verdict: Verdict | None, pods: list[Object]) -> Result:
        status["active"] = 0
        status["ready"] = 0
        if verdict is None:
            text = "Reached expected number of succeeded pods"
            wanted = {
                "SuccessCriteriaMet": ("True", "CompletionsReached", text),
                "Complete": ("True", "CompletionsReached", text),
            }
            status["completionTime"] = self._world.now()
            self._event(job, "Normal", "Completed", "Job completed")
        else:
            wanted = {"FailureTarget": ("True", *verdict), "Failed": ("True", *verdict)}
            self._event(job, "Warning", *verdict)
        status["conditions"] = self._world.merge_conditions(job, wanted)
        self._world.patch_status(JOBS, job, status)
        return Result()

    def _expire(self, job: Object, ended: str) -> Result:
        ttl = job["spec"].get("ttlSecondsAfterFinished")
        if ttl is None:
            return Result()
        age_s = (self._world.timeline.clock.now() - parse_rfc3339(ended)).total_seconds()
        left_s = self._world.timeline.scaled(float(ttl)) - age_s
        if left_s > 0:
            return Result(requeue_after_s=left_s + 0.05)
        self._world.client.delete(
            JOBS, name_of(job), job["metadata"]["namespace"], uid=uid_of(job), propagation="Background"
        )
        return Result()

    def _event(self, job: Object, kind: str, reason: str, note: str) -> None:
        self._world.recorder.record("job-controller", JOBS, job, kind, reason, note)


def resume_tally(job: Object, ended: list[Object]) -> Tally:
    """After a restart: the sums are in the status, and as many of the oldest ended pods are in them."""
    status = job.get("status") or {}
    succeeded, failed = int(status.get("succeeded", 0)), int(status.get("failed", 0))
    oldest = sorted(ended, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))
    return Tally({uid_of(pod) for pod in oldest[: succeeded + failed]}, succeeded, failed)


def completions_of(job: Object) -> int:
    """How many pods have to succeed."""
    spec = job["spec"]
    return int(spec["completions"] if spec.get("completions") is not None else spec.get("parallelism", 1))


def finished_at(job: Object) -> str:
    """When the Job completed or failed; "" while it runs."""
    for entry in (job.get("status") or {}).get("conditions") or []:
        if entry["type"] in ("Complete", "Failed") and entry["status"] == "True":
            return str(entry.get("lastTransitionTime", ""))
    return ""


def build_pod(job: Object, serial: int, salt: str) -> Object:
    """A pod of the Job."""
    name, uid = name_of(job), uid_of(job)
    labels = {
        "batch.kubernetes.io/job-name": name,
        "batch.kubernetes.io/controller-uid": uid,
        "job-name": name,
        "controller-uid": uid,
    }
    return new_pod(job, JOBS, job["spec"]["template"], f"{name}-{safe_hash([uid, serial, salt], 5)}", labels=labels)


def policy_action(job: Object, pod: Object) -> str:
    """What podFailurePolicy says about a failed pod: the action of the first rule that fits, `Count` when none does."""
    for rule in (job["spec"].get("podFailurePolicy") or {}).get("rules") or []:
        if _codes_fit(rule.get("onExitCodes"), pod) or _conditions_fit(rule.get("onPodConditions"), pod):
            return str(rule["action"])
    return "Count"


def _codes_fit(requirement: Mapping[str, Any] | None, pod: Object) -> bool:
    if not requirement:
        return False
    wanted = requirement.get("containerName")
    for container in _container_statuses(pod):
        code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code or wanted not in (None, container["name"]):
            continue
        if (code in requirement["values"]) == (requirement["operator"] == "In"):
            return True
    return False


def _conditions_fit(patterns: list[Mapping[str, str]] | None, pod: Object) -> bool:
    return any(condition_is_true(pod, pattern["type"]) for pattern in patterns or [])


def _container_statuses(pod: Object) -> list[Object]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _restarts(pod: Object) -> int:
    return sum(int(container.get("restartCount", 0)) for container in _container_statuses(pod))


def _ended_at(pod: Object) -> str:
    ends = [((c.get("state") or {}).get("terminated") or {}).get("finishedAt", "") for c in _container_statuses(pod)]
    return max((end for end in ends if end), default="")


def _earliest(*waits: float | None) -> float | None:
    present = [max(0.01, wait) for wait in waits if wait is not None]
    return min(present) if present else None
