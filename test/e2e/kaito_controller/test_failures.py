"""What goes wrong below a served model: the documented reason and Event in bounded time, and recovery once the cause is removed.

What goes wrong with nodes that users bring is in `test_brought_nodes`, with tuning in `test_tuning`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from controller_runtime.resources import PODS
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from kaito_controller.api.labels import TRY_AGAIN
from test.support.kaito_rig import Rig
from test.support.sampling import sampled
from test.support.workspace_world import workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def granted(rig: Rig) -> Iterator[None]:
    """Whatever a test does to the supply of nodes or to pods ends with it, before its Workspaces do."""
    yield
    rig.supply.restore()
    rig.cluster.actors.pod_faults.clear()


def machine_names(rig: Rig, namespace: str) -> list[str]:
    return [machine["metadata"]["name"] for machine in rig.machines("phi", namespace)]


@pytest.mark.node_apis
def test_quota_that_is_refused_is_quoted_and_the_same_machine_goes_on_when_it_is_granted(
    rig: Rig, namespace: str, granted: None
) -> None:
    words = rig.supply.refuse()
    rig.kubectl.apply(workspace("phi", namespace))

    message = rig.wait_explained("phi", namespace, "MachineFailing")

    assert [word for word in words if word not in message] == []
    before = machine_names(rig, namespace)
    rig.supply.restore()
    rig.wait_ready("phi", namespace, 90.0)
    assert machine_names(rig, namespace) == before


POD_FAILURES = {
    "ImagePullFailed": (PodFault(PodFaultKind.PULL, message="401 Unauthorized"), "401 Unauthorized"),
    "ContainerCrashing": (
        PodFault(PodFaultKind.CRASH, exit_code=3, message="CUDA too old"),
        "exit code 3, last words: CUDA too old",
    ),
    "OutOfMemory": (PodFault(PodFaultKind.OOM), "exit code 137"),
}


@pytest.mark.parametrize("reason", sampled(POD_FAILURES, every=3))
def test_container_that_does_not_run_is_explained_until_it_does(
    rig: Rig, namespace: str, granted: None, reason: str
) -> None:
    fault, words = POD_FAILURES[reason]
    rig.cluster.actors.pod_faults.add(
        PodFault(fault.kind, namespace=namespace, exit_code=fault.exit_code, message=fault.message)
    )
    rig.kubectl.apply(workspace("phi", namespace))

    message = rig.wait_explained("phi", namespace, reason)

    assert words in message
    assert rig.items(PODS, namespace)[0]["metadata"]["name"] in message
    rig.cluster.actors.pod_faults.clear()
    rig.wait_ready("phi", namespace)
    assert len(machine_names(rig, namespace)) == 1


@pytest.mark.node_apis
@pytest.mark.long
def test_node_that_vanishes_is_reported_and_replaced(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    before, (node,) = machine_names(rig, namespace), rig.worker_nodes("phi", namespace)

    rig.kubectl("delete", "node", node, "--wait=false")

    wait_for_another_node(rig, namespace, node)
    assert rig.supply.loss_of(node) in rig.notes(namespace, "MachineReplaced")
    after = machine_names(rig, namespace)
    assert len(after) == 1
    assert after != before


def wait_for_another_node(rig: Rig, namespace: str, node: str) -> None:
    rig.wait_for(
        lambda: rig.worker_nodes("phi", namespace) not in ([], [node]) and rig.condition("phi", namespace)[0] == "True",
        "serving on another node",
        90.0,
    )


@pytest.mark.node_apis
@pytest.mark.long
def test_node_that_stays_ill_is_replaced_and_its_machine_goes(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    before, (node,) = machine_names(rig, namespace), rig.worker_nodes("phi", namespace)

    rig.cluster.actors.fleet.set_health(node, "not_ready")

    wait_for_another_node(rig, namespace, node)
    assert node in rig.notes(namespace, "NodeNotReady")
    after = machine_names(rig, namespace)
    assert len(after) == 1
    assert after != before


@pytest.mark.node_apis
@pytest.mark.long
def test_instance_type_that_is_not_sold_is_given_up_after_the_allowed_attempts_and_holds_nothing(
    rig: Rig, namespace: str, granted: None
) -> None:
    words = rig.supply.end()
    rig.kubectl.apply(workspace("phi", namespace))

    message = rig.wait_explained("phi", namespace, "MachineAttemptsExhausted", timeout_s=90.0)

    assert "attempt 3 of 3" in message
    assert [word for word in words if word not in message] == []
    rig.wait_for(lambda: not machine_names(rig, namespace), "no Machine being held")
    rig.supply.restore()
    rig.kubectl("annotate", "workspace", "phi", "-n", namespace, f"{TRY_AGAIN}=now")
    rig.wait_ready("phi", namespace, 90.0)
    (entry,) = rig.machines("phi", namespace)
    assert entry["metadata"]["annotations"]["kaito.sh/ask-again"], (
        "the provisioner remembers the refusal for longer than this takes"
    )


@pytest.mark.long
def test_node_that_falls_ill_is_reported_until_it_is_well(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    (node,) = rig.worker_nodes("phi", namespace)

    rig.cluster.actors.fleet.set_health(node, "not_ready")

    assert node in rig.wait_explained("phi", namespace, "NodeNotReady", "ResourceReady")
    rig.cluster.actors.fleet.set_health(node, "ready")
    rig.wait_ready("phi", namespace, 90.0)


@pytest.mark.long
def test_what_somebody_deletes_or_changes_is_put_back(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)
    meant = rig.get("service", "phi", namespace)["spec"]["selector"]

    for kind in ("service", "deployment"):
        before = rig.uid(kind, "phi", namespace)
        rig.kubectl("delete", kind, "phi", "-n", namespace)
        rig.wait_for(
            lambda kind=kind, before=before: rig.uid(kind, "phi", namespace) not in ("", before), f"another {kind}"
        )
    for wrong in ({"app": "somebody-else"}, {"kaito.sh/workspace": "stray"}):
        patch = json.dumps({"spec": {"selector": wrong}})
        rig.kubectl("patch", "service", "phi", "-n", namespace, "--type=merge", "-p", patch)
        rig.wait_for(lambda: rig.get("service", "phi", namespace)["spec"]["selector"] == meant, "the repaired Service")

    rig.wait_ready("phi", namespace)
    assert len(machine_names(rig, namespace)) == 1
