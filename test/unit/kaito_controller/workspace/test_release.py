"""When nodes are given back: nothing serves past its deadline, or the workload is refused, or does not start, past the grace."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller_runtime.clock import rfc3339
from kaito_controller.api import reasons
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.snapshot import ApiRejection, Snapshot
from test.support.snapshots import (
    START,
    machine,
    made_node,
    nodes,
    pod,
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


NOT_PULLED = {"waiting": {"reason": "ImagePullBackOff", "message": "401 Unauthorized"}}
STUCK: dict[str, dict[str, Any]] = {
    "secret is missing": {"unmounted": 'Pod phi-1 cannot start: secret "push" not found'},
    "image cannot be pulled": {
        "pods": (pod("phi-1", initContainerStatuses=[{"name": "phi", "image": "r.io/a:1", "state": NOT_PULLED}]),)
    },
    "no room": {
        "pods": (
            pod(
                "phi-1",
                conditions=[{"type": "PodScheduled", "status": "False", "message": "1 node(s) were unschedulable"}],
            ),
        )
    },
}


def stuck_run(after_s: float, **fields: Any) -> Snapshot:
    """A tuning run on a ready node, whose pod has not started so many seconds later."""
    raw = raw_workspace(tuning=tuning())
    config = yaml.safe_load(Path("config/tuning/qlora-params-template.yaml").read_text())
    job = next(o for o in decide(held(0, raw=deepcopy(raw), config=config)).desired if o["kind"] == "Job")
    job["metadata"] |= {"uid": "u", "creationTimestamp": rfc3339(START)}
    seen = held(after_s, raw=raw, config=config, existing={("Job", "phi"): job})
    return replace(seen, rejection=None, **fields)


@pytest.mark.parametrize("cause", STUCK)
def test_tuning_run_that_nothing_starts_says_until_when_and_gives_its_nodes_back(cause: str) -> None:
    before, after = (stuck_run(seconds, **STUCK[cause]) for seconds in (3599, 3600))
    waits = decide(before)

    assert waits.release is None
    assert "The nodes are given back at 2026-01-02T04:04:05Z if this persists." in waits.overall.message
    assert "retries" not in waits.overall.message, "a pod that does not start does not fail either"
    assert decide(after).release is not None
    given = replace(after, release=decide(after).release)
    assert {type(action).__name__ for action in plan(given, decide(given))} >= {"Delete"}


def test_result_of_a_training_is_not_given_up_for_an_image_of_a_later_step() -> None:
    done = {"name": "phi", "state": {"terminated": {"exitCode": 0}}}
    pusher = {"name": "pusher", "image": "r.io/oras:1", "state": NOT_PULLED}
    waits = pod("phi-1", pusher, initContainerStatuses=[done])

    decision = decide(stuck_run(1_000_000, pods=(waits,)))

    assert decision.run.reason is reasons.IMAGE_PULL_FAILED
    assert decision.release is None


def test_tuning_run_that_crashes_is_left_to_its_job() -> None:
    crashed = {"name": "phi", "state": {"terminated": {"exitCode": 1}}}

    decision = decide(stuck_run(1_000_000, pods=(pod("phi-1", initContainerStatuses=[crashed]),)))

    assert decision.release is None
    assert decision.overall.message.endswith("The Job retries a limited number of times.")
