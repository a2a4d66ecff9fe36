"""Fine-tuning runs: which edits start a run again, and which do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller_runtime.resources import Object
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from test.support.kaito_rig import Rig
from test.support.workspace_world import tuning, workspace

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def team(rig: Rig, namespace: str) -> Iterator[str]:
    """A namespace with a push secret; faults of pods end with the test, before its Workspaces do."""
    rig.kubectl("create", "secret", "generic", "push", "-n", namespace, "--from-literal=.dockerconfigjson={}")
    yield namespace
    rig.cluster.actors.pod_faults.clear()


def asked(namespace: str, urls: str = "https://example.com/data.parquet", **resource: object) -> Object:
    return workspace("phi", namespace, resource=resource, tuning=tuning(input={"urls": [urls]}))


def runs(rig: Rig, namespace: str) -> int:
    """Jobs ever created."""
    return sum(
        entry.verb == "create" and entry.resource == "jobs" and entry.namespace == namespace and entry.code == 201
        for entry in rig.cluster.apiserver.audit
    )


def hold_the_trainer(rig: Rig, namespace: str) -> None:
    """Runs are caught in the middle: the data is there, the trainer's image cannot be pulled for now."""
    rig.cluster.actors.pod_faults.add(PodFault(PodFaultKind.PULL, namespace=namespace, container="phi"))


def job_uid(rig: Rig, namespace: str) -> str:
    found = rig.kubectl.run("get", "job", "phi", "-n", namespace, "-o", "jsonpath={.metadata.uid}")
    return found.stdout if found.returncode == 0 else ""


def test_edit_of_the_data_starts_a_run_again_once_and_an_edit_without_effect_does_not(rig: Rig, team: str) -> None:
    hold_the_trainer(rig, team)
    rig.kubectl.apply(asked(team))
    rig.wait_reason("phi", team, "ImagePullFailed")
    first = job_uid(rig, team)

    rig.kubectl.apply(asked(team, preferredNodes=["no-such-node"]))
    rig.wait_observed("phi", team)
    assert job_uid(rig, team) == first

    rig.kubectl.apply(asked(team, "https://example.com/better.parquet", preferredNodes=["no-such-node"]))
    rig.wait_for(lambda: job_uid(rig, team) not in ("", first), "the second run")
    rig.cluster.actors.pod_faults.clear()
    rig.wait_ready("phi", team, 90.0)
    assert runs(rig, team) == 2
    assert "better.parquet" in str(rig.get("job", "phi", team)["spec"]["template"]["spec"]["initContainers"][0])


def test_preferred_node_that_comes_to_mind_later_does_not_interrupt_a_run(rig: Rig, team: str) -> None:
    hold_the_trainer(rig, team)
    rig.kubectl.apply(asked(team))
    rig.wait_reason("phi", team, "ImagePullFailed")
    first, nodes = job_uid(rig, team), rig.worker_nodes("phi", team)
    spare = rig.bring_node("spare", labels={"apps": "phi"})
    try:
        rig.kubectl.apply(asked(team, preferredNodes=["spare"]))
        rig.wait_observed("phi", team)
        rig.cluster.actors.pod_faults.clear()

        rig.wait_ready("phi", team, 90.0)

        assert job_uid(rig, team) == first
        assert runs(rig, team) == 1
        assert rig.worker_nodes("phi", team) == nodes
    finally:
        rig.clean(team)
        rig.take_away(spare)
