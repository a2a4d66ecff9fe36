"""Bounded labels, whatever stands in the objects; and phases that count from the right moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from controller_runtime.clock import rfc3339
from controller_runtime.resources import Object
from kaito_controller.api.reasons import REASONS
from kaito_controller.workspace.conditions.status import ConditionChange
from kaito_controller.workspace.metrics import WorkspaceMetrics
from kaito_controller.workspace.metrics_recorder import MetricsRecorder
from test.support.snapshots import START, machine, raw_workspace, snapshot

STATES = {"ready", "waiting", "trouble", "failed", "deleting", "new"}


def labelled(registry: CollectorRegistry, name: str) -> dict[tuple[str, ...], float]:
    samples = [sample for family in registry.collect() for sample in family.samples if sample.name == name]
    return {tuple(value for _, value in sorted(s.labels.items())): s.value for s in samples}


def shown(reason: str, **meta: Any) -> Object:
    entry = {"type": "WorkspaceReady", "status": "False", "reason": reason, "message": "m"}
    return {"metadata": {"name": "w", **meta}, "status": {"conditions": [entry]}}


def test_states_come_from_fixed_lists_whatever_somebody_wrote_into_a_status() -> None:
    found = [shown(f"Invented{number}") for number in range(100)] + [shown(reason) for reason in REASONS]
    found += [{"metadata": {"name": "fresh"}}, shown("X", deletionTimestamp=rfc3339(START))]
    registry = CollectorRegistry()
    WorkspaceMetrics(registry, lambda: found)

    series = labelled(registry, "kaito_workspaces")

    assert {phase for phase, _ in series} <= STATES
    assert {reason for _, reason in series} <= {*REASONS, "Other", "None"}
    assert sum(series.values()) == len(found)
    assert series["waiting", "Other"] == 100


def test_machine_failures_of_unknown_reasons_are_one_series() -> None:
    registry = CollectorRegistry()
    metrics = WorkspaceMetrics(registry, list)

    for number in range(50):
        metrics.machine_failed(f"Invented{number}")

    assert labelled(registry, "kaito_machine_failures_total") == {("Other",): 50}


def test_node_that_was_lost_and_came_back_counts_from_the_loss() -> None:
    """Or a month of good service would be taken for a month of waiting."""
    registry = CollectorRegistry()
    measures = MetricsRecorder(WorkspaceMetrics(registry, list))
    ready = ConditionChange("ResourceReady", "True", REASONS["NodesReady"], "")
    month = timedelta(days=30)
    raw = raw_workspace()

    measures.shown(snapshot(raw, machines=(machine(),), after_s=200), [ready])
    lost = {"type": "ResourceReady", "status": "False", "lastTransitionTime": rfc3339(START + month)}
    raw["status"] = {"conditions": [lost]}
    again = replace(snapshot(raw, machines=(machine(),)), now=START + month + timedelta(seconds=40))
    measures.shown(again, [ready])

    assert labelled(registry, "kaito_workspace_phase_seconds_count")[("node_ready",)] == 2
    assert labelled(registry, "kaito_workspace_phase_seconds_sum")[("node_ready",)] == 240
