"""The status that is true now: Decision to conditions and worker nodes. Pure.

Every condition carries the generation it was computed from. `WorkspaceReady` repeats the reason and the message of whatever stands in
the way, so that one line tells the story; the printed column and `kubectl wait` need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller_runtime.conditions import Condition, get_condition, set_conditions
from controller_runtime.resources import Object, uid_of
from kaito_controller.api import conditions as types
from kaito_controller.api.reasons import REASONS, Kind, Reason
from kaito_controller.workspace.decide.decision import Decision
from kaito_controller.workspace.state.records import read_record, stored_record, write_record
from kaito_controller.workspace.state.snapshot import Mode, Snapshot, Verdict


@dataclass(frozen=True, slots=True)
class Change:
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
    )
    return tuple(_condition(kind, verdict, snapshot.generation) for kind, verdict in verdicts)


def workers_of(snapshot: Snapshot, decision: Decision) -> tuple[str, ...]:
    """The nodes to show: the whole choice once all are ready; until then, what was shown before and is still in use."""
    if decision.frozen:
        return snapshot.worker_nodes
    names = decision.assignment.names
    if decision.nodes.reason.kind is Kind.GOOD:
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


def status_of(raw: Object, wanted: Iterable[Condition], worker_nodes: Iterable[str], now: datetime) -> dict[str, Any]:
    """The whole status: conditions merged into what is there, workers sorted, and the record, which is there from the first status on."""
    before = raw.get("status") or {}
    merged = set_conditions(before.get("conditions"), wanted, now)
    record = before.get("record") if stored_record(raw) is not None else _first_record(raw)
    return {**before, "workerNodes": sorted(worker_nodes), "conditions": merged, "record": record}


def _first_record(raw: Object) -> dict[str, Any]:
    """Says what is remembered of this Workspace, and thereby that what its annotations may say is not to be believed any more."""
    content = write_record(read_record(raw), uid_of(raw))
    return {key: value for key, value in content.items() if value is not None}


def changes(raw: Object, wanted: Iterable[Condition]) -> tuple[Change, ...]:
    """The conditions whose status or reason differs from what is stored."""
    before = (raw.get("status") or {}).get("conditions")
    return tuple(
        Change(condition.type, condition.status, REASONS[condition.reason], condition.message)
        for condition in wanted
        if _shown(get_condition(before, condition.type)) != (condition.status, condition.reason)
    )


def _condition(kind: str, verdict: Verdict, generation: int) -> Condition:
    holds = verdict.reason.kind is Kind.GOOD
    return Condition(kind, "True" if holds else "False", verdict.reason.name, verdict.message, generation)


def _shown(entry: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("", "") if entry is None else (str(entry.get("status")), str(entry.get("reason")))
