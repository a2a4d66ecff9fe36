"""How the tuning run goes: the verdicts behind `JobStarted` and, for tuning, `WorkspaceReady`. Pure.

The Job's pod downloads, trains and packs in init containers and pushes in its main one, so a pod that trains is still *Pending* for
Kubernetes; what counts here is that a container has run. The Job counts attempts and is the judge of success: it succeeds only when the
push did.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, is_deleting, name_of
from controller_runtime.untrusted import integer
from kaito_controller.api import reasons
from kaito_controller.api.reasons import Severity
from kaito_controller.workspace.conditions.inference import STANDSTILLS
from kaito_controller.workspace.conditions.pod_diagnosis import last_failure, workload_cause
from kaito_controller.workspace.state.records import Release, shorten
from kaito_controller.workspace.state.snapshot import Snapshot, Verdict


def tuning_verdicts(
    snapshot: Snapshot, job: Object | None, *, obsolete: str, nodes: Verdict, held: int
) -> tuple[Verdict, Verdict]:
    """(JobStarted, WorkspaceReady). `obsolete` says why the existing Job has to make room for another, "" when it has not; `held`: how
    many nodes are ours, without which nothing can be said to run."""
    if job is None or obsolete or is_deleting(job):
        waiting = _before(snapshot, job, obsolete, nodes)
        return waiting, waiting
    if has_succeeded(job):
        output = (snapshot.raw.get("tuning") or {}).get("output") or {}
        pushed = f"The result was pushed to {output.get('image') or '(unknown)'}."
        return Verdict(reasons.JOB_SUCCEEDED, f"Job {name_of(job)} succeeded."), Verdict(
            reasons.TUNING_SUCCEEDED, pushed
        )
    if has_failed(job):
        failed = Verdict(reasons.JOB_FAILED, failure_message(snapshot, job))
        return failed, failed
    return _under_way(snapshot, job, nodes) if held else (nodes, nodes)


def has_succeeded(job: Object) -> bool:
    """The Job is Complete: the pusher ended well."""
    return (
        _job_condition(job, "Complete") is not None
        or integer((job.get("status") or {}).get("succeeded"), most=2**31) > 0
    )


def has_failed(job: Object) -> bool:
    """The Job has used up its attempts or its time."""
    return _job_condition(job, "Failed") is not None


def failed_to_push(snapshot: Snapshot) -> bool:
    """The Job got as far as its last step, whose container starts only after all others ended well, and that one failed."""
    statuses = [status for pod in snapshot.pods for status in (pod.get("status") or {}).get("containerStatuses") or []]
    ends = [(status.get("state") or {}).get("terminated") or {} for status in statuses]
    return any(integer(end.get("exitCode"), most=255) > 0 for end in ends)


def has_begun_to_train(snapshot: Snapshot) -> bool:
    """Whether the trainer, which has the name of the Workspace, runs or has run: what it made would go with its pod."""
    return any(
        container.get("name") == snapshot.name and _ran(container.get("state") or {})
        for status in (pod.get("status") or {} for pod in snapshot.pods)
        for container in status.get("initContainerStatuses") or []
        if status.get("phase") != "Failed"
    )


def kept(snapshot: Snapshot) -> str:
    """A sentence about where the result is, for a push that failed; "" when it went with its pod."""
    tuning = snapshot.context.workspace.tuning
    if tuning is None or not tuning.kept_in:
        return ""
    return f" What was trained is kept in PersistentVolumeClaim {tuning.kept_in}; pushing it again takes no training."


def failure_message(snapshot: Snapshot, job: Object) -> str:
    """Which step failed, with its last words."""
    condition = _job_condition(job, "Failed") or {}
    why = f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ").rstrip(".")
    step = last_failure(snapshot.pods)
    attempts = integer((job.get("status") or {}).get("failed"), most=2**31)
    told = (
        f"Job {name_of(job)} failed after {attempts} {'attempt' if attempts == 1 else 'attempts'} ({shorten(why, 200)})"
    )
    where = kept(snapshot) if snapshot.context.push_only else ""
    return f"{told}: {step}.{where}" if step else f"{told}.{where}"


def release_of(snapshot: Snapshot, job: Object, intent: str) -> Release:
    """The record that explains why the nodes of a failed run are given back."""
    return Release(intent, reasons.JOB_FAILED.name, failure_message(snapshot, job), snapshot.now.replace(microsecond=0))


def _before(snapshot: Snapshot, job: Object | None, obsolete: str, nodes: Verdict) -> Verdict:
    if nodes.reason.severity is not Severity.GOOD:
        return nodes
    if job is not None:
        why = obsolete or "it is being deleted"
        return Verdict(
            reasons.JOB_RESTARTING, f"Waiting for Job {name_of(job)} to be removed before the next run: {why}."
        )
    if snapshot.rejection is not None and not snapshot.rejection.machine:
        return Verdict(snapshot.rejection.reason, snapshot.rejection.message)
    return Verdict(reasons.WORKLOAD_PENDING, f"Job {snapshot.name} is being created on the chosen nodes.")


def _under_way(snapshot: Snapshot, job: Object, nodes: Verdict) -> tuple[Verdict, Verdict]:
    cause = workload_cause(snapshot, job)
    if cause is not None and cause.reason.severity is Severity.TROUBLE:
        retries = "" if cause.reason in STANDSTILLS else " The Job retries a limited number of times."
        told = Verdict(cause.reason, f"{cause.message}{retries}")
        return told, told
    if any(_has_run(pod) for pod in snapshot.pods):
        started = Verdict(reasons.JOB_RUNNING, f"Job {name_of(job)} has been running since {_start(job)}.")
        how_far = f"; {snapshot.progress.sentence}" if snapshot.progress else ""
        message = f"Job {name_of(job)} has been running since {_start(job)}{how_far}."
        return started, Verdict(reasons.TUNING_IN_PROGRESS, message)
    if nodes.reason.severity is not Severity.GOOD:
        return nodes, nodes
    waiting = cause or Verdict(reasons.WORKLOAD_PENDING, f"Waiting for the pod of Job {name_of(job)}.")
    return waiting, waiting


def _has_run(pod: Object) -> bool:
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return any(_ran(container.get("state") or {}) for container in containers)


def _ran(state: Mapping[str, Any]) -> bool:
    return "running" in state or "terminated" in state


def _start(job: Object) -> str:
    return str((job.get("status") or {}).get("startTime") or job["metadata"]["creationTimestamp"])


def _job_condition(job: Object, kind: str) -> Mapping[str, Any] | None:
    condition = get_condition((job.get("status") or {}).get("conditions"), kind)
    return condition if condition is not None and condition.get("status") == "True" else None
