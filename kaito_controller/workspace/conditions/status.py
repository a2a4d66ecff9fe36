"""The status that is true now: Decision to conditions and worker nodes. Pure.

Every condition carries the generation it was computed from. `WorkspaceReady` repeats the reason and the message of whatever stands in
the way, so that one line tells the story; the printed column and `kubectl wait` need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from controller_runtime.conditions import Condition, get_condition, is_true, set_conditions
from controller_runtime.resources import Object, uid_of
from controller_runtime.untrusted import entries, integer, mapping
from kaito_controller.api import conditions as types
from kaito_controller.api import reasons
from kaito_controller.api.reasons import REASONS, Reason, Severity
from kaito_controller.workloads import selector_labels
from kaito_controller.workspace.decide.decision import RUNNERS, Decision, runner
from kaito_controller.workspace.state.records import read_record, stored_record, write_record
from kaito_controller.workspace.state.snapshot import Mode, Snapshot, Verdict

MOST_CONDITIONS = 100


@dataclass(frozen=True, slots=True)
class ConditionChange:
    """One condition whose reason or status is new; each becomes an Event."""

    type: str
    status: str
    reason: Reason
    message: str


def conditions_of(snapshot: Snapshot, decision: Decision) -> tuple[Condition, ...]:
    """The conditions of a living Workspace."""
    runs = types.INFERENCE_READY if snapshot.mode is Mode.INFERENCE else types.JOB_STARTED
    verdicts = (
        (types.MACHINE_READY, decision.machines),
        (types.RESOURCE_READY, decision.nodes),
        (runs, decision.run),
        (types.WORKSPACE_READY, decision.overall),
        (types.WORKSPACE_SUCCEEDED, decision.overall),
    )
    return tuple(_condition(kind, verdict, snapshot.generation) for kind, verdict in verdicts)


def workers_of(snapshot: Snapshot, decision: Decision) -> tuple[str, ...]:
    """The nodes to show: the whole choice once all are ready; until then, what was shown before and is still in use."""
    if decision.frozen:
        return snapshot.worker_nodes
    names = decision.assignment.names
    if decision.nodes.reason.severity is Severity.GOOD:
        return names
    lost = {machine.node_name for machine in decision.assignment.machines}
    return tuple(name for name in snapshot.worker_nodes if name in names or name in lost)


def deleting_conditions(raw: Object, verdict: Verdict) -> tuple[Condition, ...]:
    """The conditions of a Workspace that is being deleted: whatever was shown as True is not any more."""
    generation = int(raw["metadata"].get("generation") or 0)
    shown = [str(entry.get("type")) for entry in (raw.get("status") or {}).get("conditions") or []]
    gone = [kind for kind in shown if kind in types.ALL and kind != types.WORKSPACE_DELETING]
    false = (Condition(kind, "False", verdict.reason.name, verdict.message, generation) for kind in gone)
    deleting = Condition(types.WORKSPACE_DELETING, "True", verdict.reason.name, verdict.message, generation)
    return (*false, deleting)


def scale_of(snapshot: Snapshot, desired: Iterable[Object] = ()) -> dict[str, Any]:
    """What autoscalers read: the replicas that there are, not those that were asked for, and how their pods are found.

    A workload of `desired` that is made right now counts as told, which saves a write; one that was refused does not.
    """
    if snapshot.mode is not Mode.INFERENCE:
        return {}
    made: Object = {} if snapshot.rejection else next((obj for obj in desired if obj["kind"] in RUNNERS), {})
    replicas = _replicas(runner(snapshot) or made)
    selector = ",".join(f"{key}={value}" for key, value in selector_labels(snapshot.name).items())
    return {"replicas": replicas, "selector": selector}


def progress_of(snapshot: Snapshot) -> dict[str, Any]:
    """How far a tuning run is; "" once nothing is known any more, and no field where nothing ever was."""
    known = snapshot.progress.brief if snapshot.progress is not None else ""
    return {"progress": known} if known or mapping(snapshot.raw.get("status")).get("progress") else {}


def type_of(snapshot: Snapshot, decision: Decision) -> dict[str, Any]:
    """Which of several candidates was taken; "" while none is, and no field where there is nothing to choose from."""
    if len(snapshot.candidates) < 2 or decision.frozen:
        return {}
    held = decision.assignment
    taken = snapshot.wanted.candidate.text if held.machines or held.order or held.nodes else ""
    return {"instanceType": taken} if taken or mapping(snapshot.raw.get("status")).get("instanceType") else {}


def _replicas(workload: Object) -> int:
    """As its controller counts them; until it has counted any, as it was told, which saves a write. Not when pods are refused."""
    status = mapping(workload.get("status"))
    counted = integer(status.get("replicas"), most=2**31 - 1)
    if counted or is_true(status.get("conditions"), "ReplicaFailure"):
        return counted
    return integer(mapping(workload.get("spec")).get("replicas"), most=2**31 - 1)


def status_of(
    raw: Object,
    wanted: Iterable[Condition],
    worker_nodes: Iterable[str],
    now: datetime,
    scale: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole status: conditions merged into what is there, workers sorted, and the record, which is there from the first status on."""
    before = {**(raw.get("status") or {}), **(scale or {})}
    merged = set_conditions(_maintained(before.get("conditions")), wanted, now)
    record = before.get("record") if stored_record(raw) is not None else _first_record(raw)
    return {**before, "workerNodes": sorted(worker_nodes), "conditions": merged, "record": record}


def _first_record(raw: Object) -> dict[str, Any]:
    """Says what is remembered of this Workspace, and thereby that what its annotations may say is not to be believed any more."""
    content = write_record(read_record(raw), uid_of(raw))
    return {key: value for key, value in content.items() if value is not None}


def poisoned_conditions(raw: Object, error: BaseException, retry_in_s: float) -> tuple[Condition, ...]:
    """What to show while the controller fails at a Workspace. The text says nothing that differs from try to try."""
    told = (
        f"The controller fails at this Workspace with {type(error).__name__} in {_place(error)}, a defect worth a report; its log holds "
        f"the traceback. Nothing is changed meanwhile. It is tried again every {retry_in_s:.0f} s, and at each change of the Workspace."
    )
    generation = integer(mapping(raw.get("metadata")).get("generation"), most=2**63)
    kinds = (types.WORKSPACE_READY, types.WORKSPACE_SUCCEEDED)
    return tuple(Condition(kind, "Unknown", reasons.INTERNAL_ERROR.name, told, generation) for kind in kinds)


def _place(error: BaseException) -> str:
    """The file and line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        "an unknown place" if trace is None else f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
    )


def _maintained(conditions: object) -> list[Mapping[str, Any]]:
    """Without those of other versions that nobody keeps true."""
    return [entry for entry in entries(conditions, MOST_CONDITIONS) if entry.get("type") not in types.NOT_OURS]


def changes(raw: Object, wanted: Iterable[Condition]) -> tuple[ConditionChange, ...]:
    """The conditions whose status or reason differs from what is stored."""
    before = (raw.get("status") or {}).get("conditions")
    return tuple(
        ConditionChange(condition.type, condition.status, REASONS[condition.reason], condition.message)
        for condition in wanted
        if _shown(get_condition(before, condition.type)) != (condition.status, condition.reason)
    )


def _condition(kind: str, verdict: Verdict, generation: int) -> Condition:
    holds = verdict.reason.severity is Severity.GOOD
    return Condition(kind, "True" if holds else "False", verdict.reason.name, verdict.message, generation)


def _shown(entry: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("", "") if entry is None else (str(entry.get("status")), str(entry.get("reason")))
