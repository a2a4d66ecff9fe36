"""When nodes are given back: nothing serves past its deadline, or the workload is refused past the grace."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller_runtime.clock import rfc3339
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.snapshot import ApiRejection, Snapshot
from test.support.snapshots import (
    START,
    machine,
    made_node,
    nodes,
    raw_workspace,
    shown,
    snapshot,
    two_replicas,
)
from test.support.workspace_world import tuning


def test_a_model_of_which_one_replica_serves_is_never_given_back() -> None:
    decision = decide(two_replicas(1))

    assert decision.release is None
    assert decision.run.message.startswith("1 of 2 replicas serve, and nothing is given back while one does.")


def test_a_model_of_which_no_replica_serves_is_given_back_in_the_end() -> None:
    assert decide(two_replicas(0)).release is not None


def test_what_was_given_up_quotes_no_deadline_that_has_passed() -> None:
    release = decide(two_replicas(0)).release

    assert release is not None
    assert "given back at" not in release.message


REFUSED = ApiRejection('Deployment phi: forbidden: exceeded quota "gpus"')


def held(seconds: float, **fields: Any) -> Snapshot:
    """Ready nodes, held for a workload that the API server refuses, so many seconds after they became ready."""
    raw = fields.pop("raw", raw_workspace())
    raw["status"] = {"conditions": [{"type": "ResourceReady", "status": "True", "lastTransitionTime": rfc3339(START)}]}
    found = nodes(made_node(0))
    return snapshot(raw, after_s=seconds, machines=(machine(0),), nodes=found, rejection=REFUSED, **fields)


def test_refusal_that_lasts_past_the_grace_gives_the_nodes_back() -> None:
    before, after = held(3599), held(3600)

    shown_before, decision_before = shown(before)
    _, decision = shown(after)

    assert shown_before["WorkspaceReady"] == ("False", "WorkloadRefused")
    assert decision_before.release is None
    assert "The nodes are given back at 2026-01-02T04:04:05Z if this persists." in decision_before.overall.message
    assert decision.release is not None
    assert 'exceeded quota "gpus"' in decision.release.message
    given = replace(after, release=decision.release)
    assert {type(action).__name__ for action in plan(given, decide(given))} >= {"Delete"}


def test_refusal_of_a_workload_that_served_a_moment_ago_has_its_whole_grace() -> None:
    raw = raw_workspace()
    seen = held(1_000_000, raw=raw)
    raw["status"]["conditions"].append(
        {"type": "InferenceReady", "status": "True", "lastTransitionTime": rfc3339(START)}
    )

    assert decide(seen).release is None


@pytest.mark.parametrize("refusal", ["of the Job", "of its pods"])
def test_refused_tuning_run_gives_its_nodes_back_too(refusal: str) -> None:
    raw = raw_workspace(tuning=tuning())
    text = Path("config/tuning/qlora-params-template.yaml").read_text()
    fields: dict[str, Any] = {"config": yaml.safe_load(text)}
    if refusal == "of its pods":
        job = next(o for o in decide(held(0, raw=deepcopy(raw), **fields)).desired if o["kind"] == "Job")
        job["metadata"] |= {"uid": "u", "creationTimestamp": rfc3339(START)}
        fields |= {"existing": {("Job", "phi"): job}, "pods_refused": "forbidden: exceeded quota"}

    assert decide(held(3599, raw=deepcopy(raw), **fields)).release is None
    release = decide(held(3600, raw=deepcopy(raw), **fields)).release

    assert release is not None
    assert "exceeded quota" in release.message
