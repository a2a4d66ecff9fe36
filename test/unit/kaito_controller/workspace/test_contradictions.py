"""No two conditions of one status contradict each other, whatever the world looks like.

Worlds are drawn, not walked to: a workload may count replicas on nodes that are gone, Machines may vanish under it, their type may be
removed, attempts may be used up. What the conditions may say together is stated here without looking at how they are made.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from controller_runtime.conditions import Condition
from controller_runtime.resources import Object
from kaito_controller.api.reasons import REASONS, Severity
from kaito_controller.workloads import build_objects
from kaito_controller.workspace.conditions.status import conditions_of, workers_of
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.state.records import Failure
from kaito_controller.workspace.state.snapshot import MachinePhase, MachineView, NodeView, Snapshot
from test.support.snapshots import START, claim, machine, made_node, node, nodes, raw_workspace, snapshot

CONFIG = yaml.safe_load(Path("config/tuning/qlora-params-template.yaml").read_text())
TUNING = {
    "preset": {"name": "phi-3-mini-128k-instruct"},
    "method": "qlora",
    "input": {"urls": ["https://example.com/data.parquet"]},
    "output": {"image": "registry.example.com/adapters/phi:0.0.1", "imagePushSecret": "push"},
}
NONE_IS_HELD = ("No Machine is held now", "nodes are missing", "nodes were given back")
RECORDS = (None, Failure(1, 1, "ws0", "LaunchFailed", "no", START), Failure(3, 3, "ws0", "LaunchFailed", "no", START))


@dataclass(frozen=True)
class Shown:
    by_type: dict[str, Condition]
    workers: tuple[str, ...]
    seen: Snapshot

    def holds(self, kind: str) -> bool:
        found = self.by_type.get(kind)
        return found is not None and found.status == "True"


@st.composite
def worlds(draw: st.DrawFn) -> Snapshot:
    trains = draw(st.booleans())
    count = 1 if trains else draw(st.integers(1, 2))
    raw = raw_workspace(count=count, tuning=TUNING) if trains else raw_workspace(count=count)
    machines, made = _machines(draw, count)
    found = nodes(*made, *_brought(draw))
    raw["status"] = {"workerNodes": draw(st.sampled_from([[], ["node-0"], ["brought"]])), "conditions": []}
    failure = draw(st.sampled_from(RECORDS))
    workload = _workload(draw, trains, count)
    pods = tuple(_pod(name) for name in ("node-0", "brought") if draw(st.booleans()))
    return snapshot(
        raw,
        config=CONFIG if trains else None,
        after_s=draw(st.sampled_from([10.0, 700.0, 20_000.0])),
        machines=machines,
        nodes=found,
        machine_api=draw(st.booleans()) if not machines else True,
        attempts={0: failure} if failure else {},
        existing={(str(workload["kind"]), "phi"): workload} if workload else {},
        pods=pods,
        lost_nodes=tuple(name for pod in pods if (name := str(pod["spec"]["nodeName"])) not in found),
        absent_since={m.name: START for m in machines if m.node_name and m.node_name not in found},
    )


def _machines(draw: st.DrawFn, count: int) -> tuple[tuple[MachineView, ...], list[NodeView]]:
    machines, made = [], []
    for ordinal in range(count):
        phase = draw(st.sampled_from([None, *MachinePhase]))
        if phase is None:
            continue
        machines.append(machine(ordinal, draw(st.integers(0, 1)), phase))
        if machines[-1].node_name and draw(st.booleans()):
            made.append(made_node(ordinal, ready=draw(st.booleans()), gpus=draw(st.integers(0, 1))))
    return tuple(machines), made


def _brought(draw: st.DrawFn) -> list[NodeView]:
    owner = draw(st.sampled_from([None, claim(), claim("other", "other")]))
    return [node("brought", claim=owner, ready=draw(st.booleans()))] if draw(st.booleans()) else []


def _workload(draw: st.DrawFn, trains: bool, count: int) -> Object | None:
    if draw(st.booleans()):
        return None
    names = draw(st.sampled_from([("node-0",), ("brought",), ("node-0", "node-1")]))
    found = copy.deepcopy(_built(trains, count, names))
    found["metadata"] |= {"uid": "u", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}
    ready = draw(st.integers(0, count))
    found["status"] = {"observedGeneration": 1, "readyReplicas": ready, "updatedReplicas": ready, "active": 1}
    if found["kind"] == "Job":
        ended = draw(st.sampled_from([None, "Complete", "Failed"]))
        found["status"]["conditions"] = [{"type": ended, "status": "True"}] if ended else []
    return found


@functools.cache
def _built(trains: bool, count: int, names: tuple[str, ...]) -> Object:
    raw = raw_workspace(count=count, tuning=TUNING) if trains else raw_workspace(count=count)
    base = snapshot(raw, config=CONFIG if trains else None)
    context = replace(base.context, node_names=names, gpus_per_pod=1)
    return next(obj for obj in build_objects(context) if obj["kind"] in ("Deployment", "Job"))


def _pod(node_name: str) -> Object:
    return {
        "metadata": {"name": f"pod-{node_name}", "namespace": "default", "creationTimestamp": "2026-01-02T03:04:05Z"},
        "spec": {"nodeName": node_name},
        "status": {"phase": "Running", "initContainerStatuses": [{"name": "phi", "state": {"running": {}}}]},
    }


def show(seen: Snapshot) -> Shown:
    decision = decide(seen)
    return Shown({c.type: c for c in conditions_of(seen, decision)}, workers_of(seen, decision), seen)


def contradict_nothing(seen: Snapshot) -> None:
    shown = show(seen)
    texts = [condition.message for condition in shown.by_type.values()]
    runs = shown.holds("InferenceReady") or shown.by_type.get("JobStarted", _NO).reason == "JobRunning"

    if shown.holds("WorkspaceReady"):
        assert shown.holds("InferenceReady") or shown.by_type["JobStarted"].reason == "JobSucceeded"
    if shown.holds("ResourceReady"):
        assert shown.holds("MachineReady")
    if runs:
        assert not [text for text in texts for words in NONE_IS_HELD if words in text]
        assert REASONS[shown.by_type["ResourceReady"].reason].severity is not Severity.TERMINAL
    assert shown.by_type["WorkspaceReady"].status == shown.by_type["WorkspaceSucceeded"].status


def name_what_is_there(seen: Snapshot) -> None:
    shown = show(seen)

    if shown.holds("ResourceReady"):
        assert "Ready: Nodes ." not in shown.by_type["ResourceReady"].message
        assert all(seen.nodes[name].ready for name in shown.workers)
    if shown.holds("InferenceReady"):
        assert len(seen.nodes) >= seen.wanted.count


RULES = pytest.mark.parametrize("holds", [contradict_nothing, name_what_is_there], ids=lambda rule: rule.__name__)


@RULES
@settings(max_examples=150, deadline=timedelta(seconds=5))
@given(seen=worlds())
def test_conditions_of_one_status(holds: Callable[[Snapshot], None], seen: Snapshot) -> None:
    holds(seen)


@pytest.mark.long
@RULES
@settings(max_examples=1500, deadline=timedelta(seconds=5))
@given(seen=worlds())
def test_conditions_of_one_status_in_many_worlds(holds: Callable[[Snapshot], None], seen: Snapshot) -> None:
    holds(seen)


_NO = Condition("none", "False", "none", "", 0)
