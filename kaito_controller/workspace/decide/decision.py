"""From a Snapshot to what is wanted and how it stands; the shared ground of `plan` and `status`. Pure.

    preflight ──▶ assignment of nodes ──▶ Machine and node verdicts ──▶ wanted objects ──▶ verdict on what runs

A failed preflight (broken specification, a model that does not fit, no training configuration) freezes the Workspace: nothing is ordered
and nothing that runs is touched. A release (what ran has failed for good) asks for no nodes at all. A finished tuning run asks for no new
ones.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object, is_deleting, name_of
from kaito_controller.api import reasons
from kaito_controller.api.conditions import INFERENCE_READY, JOB_STARTED
from kaito_controller.api.normal_form import without_blanks
from kaito_controller.api.reasons import Severity
from kaito_controller.api.sentences import try_again
from kaito_controller.workloads import (
    UpdateDecision,
    build_objects,
    compare,
    is_same_intent,
    pinned_nodes,
    restart_reason,
    trained_run,
)
from kaito_controller.workspace.conditions.inference import (
    STANDSTILLS,
    failure,
    failure_deadline,
    inference_verdict,
    is_serving,
    serves_partly,
    until_given_back,
)
from kaito_controller.workspace.conditions.nodes_and_machines import (
    doubted,
    gpus_per_pod,
    machine_verdict,
    resource_verdict,
    runtime_args,
)
from kaito_controller.workspace.conditions.tuning import (
    failed_to_push,
    has_begun_to_train,
    has_failed,
    has_succeeded,
    release_of,
    tuning_verdicts,
)
from kaito_controller.workspace.decide.binding import binding
from kaito_controller.workspace.decide.nodes import Assignment, assign
from kaito_controller.workspace.state.records import Release
from kaito_controller.workspace.state.snapshot import Mode, Snapshot, Verdict

RUNNERS = ("Deployment", "StatefulSet", "Job")
"""Kinds that hold GPUs."""

PUSHED_AGAIN = "its push failed; the result is kept, and is pushed without training again"

UNASSIGNED = "unassigned"
"""Stands for a node while none is chosen; builders insist on one, and a runner built with it is never applied."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted, and how everything stands."""

    assignment: Assignment
    machines: Verdict
    nodes: Verdict
    run: Verdict
    """For InferenceReady or JobStarted."""
    overall: Verdict
    """For WorkspaceReady."""
    frozen: bool = False
    """Change nothing."""
    released: bool = False
    """Give everything back."""
    release: Release | None = None
    """A release to put on record now."""
    finished: bool = False
    """The tuning run that is asked for has succeeded."""
    desired: tuple[Object, ...] = ()
    """Objects that should exist, in creation order; without the runner while the nodes are not ready."""
    obsolete: str = ""
    """Why the existing Job must make room, "" when it need not."""
    trained: str = ""
    """A training to put on record now: its result is kept and could not be pushed."""


def decide(snapshot: Snapshot) -> Decision:
    """Look once, decide everything."""
    if snapshot.preflight is not None:
        return _frozen(snapshot, snapshot.preflight)
    intent = intent_of(snapshot)
    if snapshot.release is not None and snapshot.release.intent == intent:
        return _released(snapshot, snapshot.release)
    job = runner(snapshot)
    snapshot = _what_is_left(_where_it_runs(snapshot, job))
    if snapshot.context.push_only:
        return _pushing(snapshot, intent)
    done = snapshot.mode is Mode.TUNING and (snapshot.tuned_run == intent or _stands(snapshot, job))
    assignment = _without_orders(assign(snapshot, wants_nodes=True)) if done else assign(snapshot, wants_nodes=True)
    machines = doubted(snapshot, machine_verdict(snapshot, assignment), "Machine")
    nodes = doubted(snapshot, resource_verdict(snapshot, assignment, machines), "Machine", "Node")
    if snapshot.mode is Mode.TUNING:
        return _tuning(snapshot, assignment, machines, nodes, intent)
    return _inference(snapshot, assignment, machines, nodes, intent)


def begins(snapshot: Snapshot, decision: Decision) -> tuple[Object, ...]:
    """What would be created if nodes were taken now and nothing runs yet: all objects, for no node in particular. Empty otherwise."""
    assignment = decision.assignment
    if not (assignment.order or assignment.claim) or runner(snapshot) is not None:
        return ()
    return _wanted_objects(snapshot, Assignment())


def _what_is_left(snapshot: Snapshot) -> Snapshot:
    """A training whose result is kept is not repeated: only the push is."""
    tuning = snapshot.context.workspace.tuning
    if tuning is None or not tuning.kept_in or not snapshot.trained_run:
        return snapshot
    left = snapshot.trained_run == trained_run(snapshot.context)
    return replace(snapshot, context=replace(snapshot.context, push_only=left))


def _pushing(snapshot: Snapshot, intent: str) -> Decision:
    """Nodes are given back: a push needs no GPU."""
    told = "No GPU node is needed: what was trained is kept and only has to be pushed."
    machines, nodes = Verdict(reasons.MACHINES_NOT_NEEDED, told), Verdict(reasons.NODES_READY, told)
    return _tuning(snapshot, assign(snapshot, wants_nodes=False), machines, nodes, intent)


def _where_it_runs(snapshot: Snapshot, job: Object | None) -> Snapshot:
    """A training run stays on its nodes while they are there: a node preferred later has no effect on the result, a restart costs hours."""
    if snapshot.mode is not Mode.TUNING or job is None or is_deleting(job) or has_failed(job):
        return snapshot
    pinned = pinned_nodes(job)
    if not pinned or not all(name in snapshot.nodes for name in pinned):
        return snapshot
    kept = tuple(name for name in snapshot.wanted.preferred if name in pinned)
    return replace(snapshot, wanted=replace(snapshot.wanted, preferred=kept))


def intent_of(snapshot: Snapshot) -> str:
    """Identity of what is asked to run, without nodes: the user's words, and the content of the configuration that they name."""
    asked = snapshot.raw.get("inference") or {}
    if snapshot.context.engine_config:
        asked = {**asked, "config": dict(snapshot.context.engine_config)}
    if snapshot.mode is Mode.TUNING:
        asked = {**(snapshot.raw.get("tuning") or {}), "config": snapshot.context.tuning_config}
    text = json.dumps(without_blanks(_plain(asked)), sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def runner(snapshot: Snapshot) -> Object | None:
    """The existing object that holds GPUs."""
    found = [obj for (kind, _), obj in sorted(snapshot.existing.items()) if kind in RUNNERS]
    return found[0] if found else None


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _stands(snapshot: Snapshot, job: Object | None) -> bool:
    """A Job that succeeded at what is asked for now."""
    if job is None or not has_succeeded(job):
        return False
    return not _job_reason(job, _wanted_objects(replace(snapshot, nodes={}), Assignment()))


def _frozen(snapshot: Snapshot, preflight: Verdict) -> Decision:
    return Decision(Assignment(), preflight, preflight, preflight, preflight, frozen=True)


def _released(snapshot: Snapshot, release: Release) -> Decision:
    retry = try_again(snapshot.namespace, snapshot.name)
    told = Verdict(
        reasons.GPU_RELEASED,
        f"Given up at {rfc3339(release.at)} and the nodes were given back: {release.reason}: {release.message} "
        f"Remove the cause, then change the Workspace or run: {retry}",
    )
    return Decision(assign(snapshot, wants_nodes=False), told, told, told, told, released=True)


def _without_orders(assignment: Assignment) -> Assignment:
    return replace(
        assignment,
        order=(),
        claim=(),
        failures=None,
        passed=None,
        sightings={},
        blocked=(),
        leaving=(),
        short=0,
        excess=None,
        scarce=None,
    )


def _wanted_objects(snapshot: Snapshot, assignment: Assignment) -> tuple[Object, ...]:
    bound = binding(snapshot, assignment)
    context = replace(
        snapshot.context,
        node_names=bound.names if bound.names or bound.on_ordered else (UNASSIGNED,),
        on_ordered_nodes=bound.on_ordered,
        gpus_per_pod=gpus_per_pod(snapshot, assignment),
        runtime_args=runtime_args(snapshot, assignment),
    )
    return tuple(build_objects(context))


def _inference(snapshot: Snapshot, assignment: Assignment, machines: Verdict, nodes: Verdict, intent: str) -> Decision:
    ready = nodes.reason.severity is Severity.GOOD and not assignment.claim
    desired = _wanted_objects(snapshot, assignment)
    workload = runner(snapshot)
    wanted = next((obj for obj in desired if obj["kind"] in RUNNERS), None)
    settled = workload is not None and (not ready or _is_settled(workload, wanted))
    runs_as = "Deployment" if workload is None else str(workload["kind"])
    said = inference_verdict(snapshot, workload, settled=settled, nodes=nodes, held=len(assignment.nodes))
    run = doubted(snapshot, said, runs_as, "Pod")
    release = None
    if workload is None and assignment.nodes:
        refused, run = run, until_given_back(snapshot, run, INFERENCE_READY)
        release = _outlasted(snapshot, intent, refused, run) if ready else None
    late = (
        workload is not None
        and settled
        and not is_serving(workload, snapshot.wanted.count)
        and not serves_partly(workload)
        and run.reason is not reasons.CACHE_STALE
        and snapshot.now >= failure_deadline(snapshot, workload)
    )
    if late and ready and workload is not None:
        told = failure(snapshot, workload)
        release = Release(intent, told.reason.name, told.message, snapshot.now.replace(microsecond=0))
    kept = desired if ready else tuple(obj for obj in desired if obj["kind"] not in RUNNERS)
    return Decision(assignment, machines, nodes, run, run, release=release, desired=kept)


def _is_settled(workload: Object, wanted: Object | None) -> bool:
    """It was built from what is asked for now. Somebody may have changed it since: that is put back, and what serves, serves."""
    if wanted is None:
        return False
    return is_same_intent(workload, wanted) or compare(workload, wanted) is UpdateDecision.HELD_BACK


def _tuning(snapshot: Snapshot, assignment: Assignment, machines: Verdict, nodes: Verdict, intent: str) -> Decision:
    desired = _wanted_objects(snapshot, assignment)
    job = runner(snapshot)
    ready = nodes.reason.severity is Severity.GOOD and not assignment.claim
    obsolete = _job_reason(job, desired) if job is not None and (ready or _has_ended(job)) else ""
    if job is None and snapshot.tuned_run == intent:
        done = Verdict(reasons.JOB_SUCCEEDED, "The Job succeeded and was removed since.")
        pushed = Verdict(reasons.TUNING_SUCCEEDED, f"The result was pushed to {_output(snapshot)}.")
        return Decision(assignment, machines, nodes, done, pushed, finished=True, desired=_without_runner(desired))
    trained = _trained(snapshot, job) if job is not None and not obsolete else ""
    obsolete = obsolete or (PUSHED_AGAIN if trained else "")
    held = 1 if snapshot.context.push_only else len(assignment.nodes)
    run, overall = tuning_verdicts(snapshot, job, obsolete=obsolete, nodes=nodes, held=held)
    refused = run
    if run.reason in STANDSTILLS and assignment.nodes and not has_begun_to_train(snapshot):
        run = overall = until_given_back(snapshot, run, JOB_STARTED)
    finished = job is not None and not obsolete and has_succeeded(job)
    release = release_of(snapshot, job, intent) if job is not None and not obsolete and has_failed(job) else None
    release = release or (_outlasted(snapshot, intent, refused, run) if ready else None)
    start = ready and (job is None or not obsolete)
    kept = desired if start or (job is not None and not obsolete) else _without_runner(desired)
    return Decision(
        assignment,
        machines,
        nodes,
        run,
        overall,
        release=release,
        finished=finished,
        desired=kept,
        # What is remembered comes first: the Job and its pods are all that says that there is a result.
        obsolete="" if trained else obsolete,
        trained=trained,
    )


def _trained(snapshot: Snapshot, job: Object) -> str:
    tuning = snapshot.context.workspace.tuning
    is_kept = tuning is not None and bool(tuning.kept_in) and not snapshot.context.push_only
    return trained_run(snapshot.context) if is_kept and has_failed(job) and failed_to_push(snapshot) else ""


def _outlasted(snapshot: Snapshot, intent: str, refused: Verdict, run: Verdict) -> Release | None:
    """What to put on record when nodes have been held past the grace for something that does not start and does not fail."""
    if run.reason not in STANDSTILLS or run.until is None or snapshot.now < run.until:
        return None
    return Release(intent, refused.reason.name, refused.message, snapshot.now.replace(microsecond=0))


def _has_ended(job: Object) -> bool:
    return has_succeeded(job) or has_failed(job)


def _without_runner(desired: tuple[Object, ...]) -> tuple[Object, ...]:
    return tuple(obj for obj in desired if obj["kind"] not in RUNNERS)


def _job_reason(job: Object, desired: tuple[Object, ...]) -> str:
    wanted = next((obj for obj in desired if obj["kind"] == "Job" and obj["metadata"]["name"] == name_of(job)), None)
    return (restart_reason(job, wanted) or "") if wanted is not None else ""


def _output(snapshot: Snapshot) -> str:
    output = (snapshot.raw.get("tuning") or {}).get("output") or {}
    return str(output.get("image") or "(unknown)")
