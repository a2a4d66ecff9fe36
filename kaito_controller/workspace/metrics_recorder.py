"""Which reconcile ends which phase: what happened to one Workspace, told to the histograms.

A phase is measured between two moments that objects in the cluster record, so that a restart in the middle changes nothing, and it is
observed once: by the reconcile that turns the condition. What was lost and came back counts from the loss, or a month of good service
would be taken for a month of loading.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object
from controller_runtime.untrusted import moment
from kaito_controller.api import conditions
from kaito_controller.workspace.act.actions import Action, Create
from kaito_controller.workspace.conditions.status import ConditionChange
from kaito_controller.workspace.decide.decision import Decision, runner
from kaito_controller.workspace.metrics import WorkspaceMetrics
from kaito_controller.workspace.state.snapshot import Snapshot


class MetricsRecorder:
    """Knows Snapshots and Decisions, so that `WorkspaceMetrics` need not."""

    def __init__(self, metrics: WorkspaceMetrics) -> None:
        self._metrics = metrics

    def acted(self, snapshot: Snapshot, decision: Decision, actions: Iterable[Action]) -> None:
        """These actions were carried out."""
        ordered = any(isinstance(action, Create) and action.orders_node for action in actions)
        if ordered and not snapshot.machines:
            created = _created(snapshot.raw) or snapshot.now
            self._metrics.phase("node_ordered", _since(snapshot, conditions.MACHINE_READY, created), snapshot.now)
        for ordinal, failure in (decision.assignment.failures or {}).items():
            if snapshot.attempts.get(ordinal) != failure:
                self._metrics.machine_failed(failure.reason)

    def shown(self, snapshot: Snapshot, news: Iterable[ConditionChange]) -> None:
        """These changes of the conditions were written."""
        turned = {change.type for change in news if change.status == "True"}
        if conditions.RESOURCE_READY in turned and snapshot.machines:
            ordered = min(machine.created_at for machine in snapshot.machines)
            self._metrics.phase("node_ready", _since(snapshot, conditions.RESOURCE_READY, ordered), snapshot.now)
        workload = runner(snapshot)
        if conditions.INFERENCE_READY in turned and workload is not None:
            self._time_start(snapshot, workload)

    def _time_start(self, snapshot: Snapshot, workload: Object) -> None:
        created = _created(workload) or snapshot.now
        began = _since(snapshot, conditions.INFERENCE_READY, created)
        started = max(filter(None, map(_started_at, snapshot.pods)), default=None)
        if started is None:
            return
        if started >= began:
            self._metrics.phase("image_pulled", began, started)
        self._metrics.phase("serving", max(began, started), snapshot.now)


def _since(snapshot: Snapshot, kind: str, start: datetime) -> datetime:
    """`start`, or the moment when a condition that had been True was lost after it."""
    stored = get_condition((snapshot.raw.get("status") or {}).get("conditions"), kind) or {}
    lost = moment(stored.get("lastTransitionTime"))
    return max(start, lost) if lost is not None and stored.get("status") != "True" else start


def _created(obj: Object) -> datetime | None:
    return moment(obj["metadata"].get("creationTimestamp"))


def _started_at(pod: Object) -> datetime | None:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    starts = [moment(((entry.get("state") or {}).get("running") or {}).get("startedAt")) for entry in statuses]
    return max(filter(None, starts), default=None)
