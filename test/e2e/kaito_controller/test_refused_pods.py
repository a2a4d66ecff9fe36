"""Pods that the API server does not let in (a quota, Pod Security, a policy): every kind of workload says so, and goes on when they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from test.support.kaito_rig import Rig
from test.support.refused_pods import WORDS, policy
from test.support.sampling import sampled
from test.support.workspace_world import tuning, workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LLAMA = {
    "name": "llama-2-13b-chat",
    "accessMode": "private",
    "presetOptions": {"image": "registry.example.com/llama-2-13b-chat:1"},
}
WORKLOADS: dict[str, dict[str, Any]] = {
    "StatefulSet": {"inference": {"preset": LLAMA}, "resource": {"count": 2}},
    "Deployment": {"inference": {"preset": {"name": "phi-3-mini-4k-instruct"}}},
    "Job": {"tuning": tuning()},
}


@pytest.fixture(params=[True])
def closed(rig: Rig, namespace: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace that lets no pods in; with the parameter False, dry runs are let in."""
    documents = policy(namespace, dry_runs=request.param)
    rig.kubectl.apply(*documents)
    rig.wait_for(lambda: is_refused(rig, namespace), "the policy to be in force")
    yield namespace
    for document in documents:
        rig.kubectl("delete", document["kind"], document["metadata"]["name"], "--ignore-not-found")


def is_refused(rig: Rig, namespace: str) -> bool:
    tried = rig.kubectl.run("run", "tried", "-n", namespace, "--image=registry.example.com/any:1", "--restart=Never")
    if tried.returncode == 0:
        rig.kubectl("delete", "pod", "tried", "-n", namespace, "--now")
    return tried.returncode != 0 and WORDS in tried.stderr


@pytest.mark.parametrize("kind", sampled(WORKLOADS, every=3))
def test_pods_that_would_be_refused_are_found_before_a_node_is_ordered(rig: Rig, closed: str, kind: str) -> None:
    rig.kubectl("create", "secret", "generic", "push", "-n", closed, "--from-literal=.dockerconfigjson={}")
    rig.kubectl.apply(workspace("phi", closed, **WORKLOADS[kind]))

    message = rig.wait_reason("phi", closed, "WorkloadRefused", "MachineReady")

    assert WORDS in message
    assert "Nothing was ordered" in message
    assert rig.machines("phi", closed) == []
    for document in policy(closed):
        rig.kubectl("delete", document["kind"], document["metadata"]["name"])
    rig.wait_ready("phi", closed, 120.0)


@pytest.mark.parametrize("closed", [False], indirect=True)
@pytest.mark.parametrize("kind", sampled(WORKLOADS, every=3))
def test_refusal_is_quoted_until_the_pods_are_let_in(rig: Rig, closed: str, kind: str) -> None:
    rig.kubectl("create", "secret", "generic", "push", "-n", closed, "--from-literal=.dockerconfigjson={}")
    rig.kubectl.apply(workspace("phi", closed, **WORKLOADS[kind]))

    message = rig.wait_explained("phi", closed, "WorkloadRefused")

    assert f"The pods of {kind} phi are refused" in message
    assert WORDS in message
    for document in policy(closed):
        rig.kubectl("delete", document["kind"], document["metadata"]["name"])
    rig.wait_ready("phi", closed, 120.0)
    assert len(rig.machines("phi", closed)) == WORKLOADS[kind].get("resource", {}).get("count", 1)
