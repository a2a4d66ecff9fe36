"""The controller with the real Karpenter core as the provisioner (its kwok provider, on a real control plane).

Nothing here is ours but the controller: Karpenter's CRDs, its launch, registration, termination. Only kubelets and machines are played.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller_runtime.resources import Object
from test.e2e.kaito_controller.test_quickstarts import QUICKSTARTS, add_push_secret, filled
from test.support.karpenter import OF_TODAY, KarpenterRig
from test.support.supply import GPU_SIZE
from test.support.workspaces import good

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]

_SERIAL = itertools.count()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KarpenterRig]:
    with KarpenterRig(tmp_path_factory.mktemp("karpenter"), machine_attempts="3") as running:
        yield running


@pytest.fixture
def namespace(rig: KarpenterRig) -> Iterator[str]:
    name = f"team-{next(_SERIAL)}"
    rig.kubectl("create", "namespace", name)
    yield name
    rig.clean(name)


def serves_elsewhere(rig: KarpenterRig, namespace: str, node: str) -> bool:
    return rig.worker_nodes("phi", namespace) not in ([], [node]) and rig.condition("phi", namespace)[0] == "True"


def workspace(namespace: str, instance_type: str = GPU_SIZE) -> Object:
    wanted = good("inference")
    wanted["metadata"] = {"name": "phi", "namespace": namespace}
    wanted["resource"] = {"instanceType": instance_type, "labelSelector": {"matchLabels": {"apps": "phi"}}}
    return wanted


@pytest.mark.parametrize("file", QUICKSTARTS)
def test_quickstart_becomes_ready_on_karpenters_nodes(
    rig: KarpenterRig, namespace: str, tmp_path: Path, file: str
) -> None:
    name, _ = QUICKSTARTS[file]
    add_push_secret(rig, namespace)

    rig.kubectl("apply", "-n", namespace, "-f", str(filled(file, tmp_path)))

    rig.wait_ready(name, namespace)
    (claim,) = rig.machines(name, namespace)
    assert claim["status"]["providerID"].startswith("kwok://")
    node = rig.get("node", claim["status"]["nodeName"])
    assert node["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"
    assert node["metadata"]["labels"]["kaito.sh/workspace"] == name
    assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in node["spec"]["taints"]


def test_deletion_leaves_neither_claim_nor_node(rig: KarpenterRig, namespace: str) -> None:
    rig.kubectl.apply(workspace(namespace))
    rig.wait_ready("phi", namespace)
    (node,) = rig.worker_nodes("phi", namespace)

    rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--timeout=60s")

    assert not rig.machines("phi", namespace)
    assert node not in rig.kubectl("get", "nodes", "-o", "name")


def test_launch_that_fails_is_quoted_in_karpenters_words(rig: KarpenterRig, namespace: str) -> None:
    rig.kubectl.apply(workspace(namespace, "Standard_NC24ads_A100_v4"))

    message = rig.wait_explained("phi", namespace, "MachineFailing")

    assert "LaunchFailed" in message
    assert "instance type not found" in message


def test_claims_that_karpenter_deletes_at_once_are_counted_and_given_up(rig: KarpenterRig, namespace: str) -> None:
    """Its provider answers a node class that is not there as a lack of capacity: the NodeClaim is gone within milliseconds."""
    rig.supply.end()
    rig.kubectl.apply(workspace(namespace))

    message = rig.wait_explained("phi", namespace, "MachineAttemptsExhausted", timeout_s=60.0)

    assert "attempt 3 of 3" in message
    assert "kubectl get events" in message
    assert rig.machines("phi", namespace) == []
    rig.supply.restore()
    rig.kubectl("annotate", "workspace", "phi", "-n", namespace, "kaito.sh/try-again=now")
    rig.wait_ready("phi", namespace)


def test_claim_that_karpenter_deletes_at_once_passes_on_to_the_next_instance_type(
    rig: KarpenterRig, namespace: str
) -> None:
    """As it does where the cloud has no capacity; here the node class is missing until the first entry was passed over."""
    wanted = workspace(namespace, OF_TODAY[0])
    wanted["resource"] |= {"instanceTypes": list(OF_TODAY)}
    rig.supply.end()
    try:
        rig.kubectl.apply(wanted)
        rig.wait_for(lambda: passed(rig, namespace), "the first entry being passed over")
    finally:
        rig.supply.restore()

    rig.wait_ready("phi", namespace, 120.0)
    assert passed(rig, namespace)[0] == (OF_TODAY[0], "DeletedBeforeLaunch")
    assert "NextInstanceType" in rig.events(namespace)
    (claim,) = rig.machines("phi", namespace)
    node = rig.get("node", claim["status"]["nodeName"])
    taken = (rig.workspace("phi", namespace) or {})["status"]["instanceType"]
    assert taken in OF_TODAY
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == taken


def passed(rig: KarpenterRig, namespace: str) -> list[tuple[str, str]]:
    record = ((rig.workspace("phi", namespace) or {}).get("status") or {}).get("record") or {}
    return [(entry["instanceType"], entry["reason"]) for entry in record.get("passed") or ()]


def test_two_workspaces_with_equal_labels_have_nodes_of_their_own(rig: KarpenterRig, namespace: str) -> None:
    other = workspace(namespace)
    other["metadata"]["name"] = "other"
    rig.kubectl.apply(workspace(namespace), other)
    for name in ("phi", "other"):
        rig.wait_ready(name, namespace, 90.0)

    nodes = {name: rig.worker_nodes(name, namespace) for name in ("phi", "other")}
    assert nodes["phi"] != nodes["other"]
    rig.kubectl("delete", "workspace", "other", "-n", namespace, "--timeout=60s")
    assert rig.condition("phi", namespace)[0] == "True"
    assert rig.worker_nodes("phi", namespace) == nodes["phi"]


@pytest.mark.long
def test_node_that_stays_not_ready_is_replaced(rig: KarpenterRig, namespace: str) -> None:
    """Karpenter's Ready stays True: it is the Node that counts. Karpenter drains for a minute what no kubelet ends."""
    rig.kubectl.apply(workspace(namespace))
    rig.wait_ready("phi", namespace)
    (node,) = rig.worker_nodes("phi", namespace)

    rig.cluster.actors.fleet.set_health(node, "not_ready")

    rig.wait_for(lambda: serves_elsewhere(rig, namespace, node), "serving on another node", 120.0)
    assert node in rig.notes(namespace, "NodeNotReady")
    rig.wait_for(lambda: len(rig.machines("phi", namespace)) == 1, "the end of the former claim", 90.0)


def test_node_that_is_deleted_is_replaced(rig: KarpenterRig, namespace: str) -> None:
    rig.kubectl.apply(workspace(namespace))
    rig.wait_ready("phi", namespace)
    (node,) = rig.worker_nodes("phi", namespace)

    rig.kubectl("delete", "node", node, "--wait=false")

    rig.wait_for(
        lambda: serves_elsewhere(rig, namespace, node),
        "serving on another node",
        90.0,
    )
    assert len(rig.machines("phi", namespace)) == 1


def test_replicas_have_a_claim_each_and_give_it_back(rig: KarpenterRig, namespace: str) -> None:
    rig.kubectl.apply(workspace(namespace))
    rig.wait_ready("phi", namespace)
    (first,) = rig.worker_nodes("phi", namespace)

    rig.kubectl("scale", "workspace", "phi", "--replicas=2", "-n", namespace)
    rig.wait_for(lambda: len(rig.worker_nodes("phi", namespace)) == 2, "the second node", 90.0)
    rig.wait_ready("phi", namespace, 90.0)
    assert first in rig.worker_nodes("phi", namespace)
    assert len(rig.machines("phi", namespace)) == 2

    rig.kubectl("scale", "workspace", "phi", "--replicas=1", "-n", namespace)
    rig.wait_for(lambda: len(rig.machines("phi", namespace)) == 1, "one claim", 90.0)
    rig.wait_ready("phi", namespace, 90.0)


def serve_until_evicted(rig: KarpenterRig, namespace: str, capacity_type: str) -> None:
    """Karpenter's providers delete the NodeClaim of a spot node whose interruption they are told of; here kubectl does."""
    wanted = workspace(namespace)
    wanted["metadata"]["annotations"] = {"kaito.sh/capacity-type": capacity_type}
    rig.kubectl.apply(wanted)
    rig.wait_ready("phi", namespace)
    (node,) = rig.worker_nodes("phi", namespace)
    assert rig.get("node", node)["metadata"]["labels"]["karpenter.sh/capacity-type"] == "spot"
    (claim,) = rig.machines("phi", namespace)

    rig.kubectl("delete", "nodeclaim", claim["metadata"]["name"], "--wait=false")

    rig.wait_for(lambda: serves_elsewhere(rig, namespace, node), "serving on another node", 90.0)


def test_spot_claim_that_karpenter_takes_away_is_replaced_and_costs_no_attempt(
    rig: KarpenterRig, namespace: str
) -> None:
    serve_until_evicted(rig, namespace, "spot")

    (entry,) = (rig.workspace("phi", namespace) or {})["status"]["record"]["attempts"]
    assert (entry["reason"], entry["failed"]) == ("SpotEvicted", 0)


def test_spot_then_on_demand_goes_on_demand_after_an_eviction(rig: KarpenterRig, namespace: str) -> None:
    serve_until_evicted(rig, namespace, "spot-then-on-demand")

    (after,) = rig.worker_nodes("phi", namespace)
    assert rig.get("node", after)["metadata"]["labels"]["karpenter.sh/capacity-type"] == "on-demand"


def test_second_replica_of_the_controller_goes_on_where_the_first_was_killed(rig: KarpenterRig, namespace: str) -> None:
    rig.controller.kill()
    with rig.start_replica() as leader:
        leader.wait_for_output("workers started", 60.0)
        with rig.start_replica() as standby:
            rig.kubectl.apply(workspace(namespace))
            rig.wait_for(lambda: rig.machines("phi", namespace), "the order", process=leader)
            assert "workers started" not in standby.output

            leader.kill()

            standby.wait_for_output("workers started", 60.0)
            rig.wait_for(lambda: rig.condition("phi", namespace)[0] == "True", "serving", 90.0, process=standby)
            assert len(rig.machines("phi", namespace)) == 1
    rig.controller = rig.start_controller()


@pytest.mark.parametrize("victim", ["provisioner", "controller"])
def test_kill_nine_while_a_node_is_made_makes_no_second_one(rig: KarpenterRig, namespace: str, victim: str) -> None:
    rig.kubectl.apply(workspace(namespace))
    rig.wait_for(lambda: rig.machines("phi", namespace), "the order")

    getattr(rig, victim).kill()
    setattr(rig, victim, getattr(rig, f"start_{victim}")())

    rig.wait_ready("phi", namespace, 90.0)
    assert len(rig.machines("phi", namespace)) == 1


@pytest.mark.parametrize("victim", ["provisioner", "controller"])
def test_kill_nine_in_the_middle_of_a_deletion_leaves_nothing(rig: KarpenterRig, namespace: str, victim: str) -> None:
    rig.kubectl.apply(workspace(namespace))
    rig.wait_ready("phi", namespace)
    (node,) = rig.worker_nodes("phi", namespace)
    rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--wait=false")
    rig.wait_for(
        lambda: rig.condition("phi", namespace, "WorkspaceDeleting")[0] or rig.workspace("phi", namespace) is None,
        "the deletion to begin",
    )

    getattr(rig, victim).kill()
    setattr(rig, victim, getattr(rig, f"start_{victim}")())

    rig.wait_for(lambda: rig.workspace("phi", namespace) is None, "the end of the Workspace", 120.0)
    assert rig.machines("phi", namespace) == []
    rig.wait_for(lambda: rig.find("node", node) is None, f"node {node} to go", 60.0)
