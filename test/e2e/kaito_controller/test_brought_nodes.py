"""Nodes that users bring: no provisioner runs and the Machine API does not exist. Judged by marks on Nodes and by what runs on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller_runtime.resources import PODS
from hack.localcluster.cloud.model import VirtualMachine
from kaito_controller.workspace.state.naming import CLAIM
from test.support.kaito_rig import Rig
from test.support.supply import GPU_SIZE
from test.support.workspace_world import workspace

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.our_provisioner("no provisioner takes part: these tests are the same with any"),
]

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
GPU = "nvidia.com/gpu"
Bring = Callable[..., VirtualMachine]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("brought"), provisioner=False, machine_crd=False) as running:
        yield running


@pytest.fixture
def bring(rig: Rig) -> Iterator[Bring]:
    """Brings nodes that leave again when the test and its Workspaces have ended (ask for it before `namespace`)."""
    there: list[VirtualMachine] = []

    def one(name: str, **options: Any) -> VirtualMachine:
        there.append(rig.bring_node(name, **options))
        return there[-1]

    yield one
    for vm in there:
        rig.take_away(vm)


def claim_on(rig: Rig, node: str) -> str:
    """`namespace/name` of the Workspace that a Node is marked for."""
    mark = rig.get("node", node)["metadata"].get("annotations", {}).get(CLAIM, "")
    return str(mark).rpartition("/")[0]


def pods_on(rig: Rig, namespace: str) -> set[str]:
    found = rig.items(PODS, namespace)
    return {pod["spec"].get("nodeName", "") for pod in found}


def test_node_is_asked_for_claimed_used_and_given_back(rig: Rig, bring: Bring, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace))
    message = rig.wait_explained("phi", namespace, "MachineAPIMissing")
    assert GPU_SIZE in message
    assert "apps=phi" in message

    bring("own-1", labels={"apps": "phi"})

    rig.wait_ready("phi", namespace)
    assert rig.worker_nodes("phi", namespace) == ["own-1"]
    assert claim_on(rig, "own-1") == f"{namespace}/phi"
    assert pods_on(rig, namespace) == {"own-1"}
    assert rig.condition("phi", namespace, "MachineReady")[:2] == ("True", "MachinesNotNeeded")

    rig.kubectl("delete", "workspace", "phi", "-n", namespace, "--timeout=60s")
    assert claim_on(rig, "own-1") == ""


def test_preferred_node_of_another_instance_type_is_used(rig: Rig, bring: Bring, namespace: str) -> None:
    bring("matching", labels={"apps": "phi"})
    bring("special", labels={"apps": "phi"}, vm_size="Standard_NC24s_v3")

    rig.kubectl.apply(workspace("phi", namespace, resource={"preferredNodes": ["special"]}))

    rig.wait_ready("phi", namespace)
    assert rig.worker_nodes("phi", namespace) == ["special"]
    assert pods_on(rig, namespace) == {"special"}
    assert claim_on(rig, "matching") == ""


def test_labelled_node_that_holds_the_model_is_used_by_a_workspace_that_names_no_type(
    rig: Rig, bring: Bring, namespace: str
) -> None:
    bring("a100", vm_size="Standard_NC96ads_A100_v4", labels={"apps": "falcon"})
    asked = workspace("falcon", namespace, inference={"preset": {"name": "falcon-40b"}})
    asked["resource"] = {"labelSelector": {"matchLabels": {"apps": "falcon"}}}

    rig.kubectl.apply(asked)

    rig.wait_ready("falcon", namespace)
    assert rig.worker_nodes("falcon", namespace) == ["a100"]


def test_two_workspaces_with_equal_labels_do_not_share_a_node(rig: Rig, bring: Bring, namespace: str) -> None:
    selector = {"labelSelector": {"matchLabels": {"pool": "shared"}}}
    bring("shared-1", labels={"pool": "shared"})
    rig.kubectl.apply(workspace("one", namespace, resource=selector), workspace("two", namespace, resource=selector))
    rig.wait_for(lambda: claim_on(rig, "shared-1"), "the first claim")
    first = claim_on(rig, "shared-1").partition("/")[2]
    second = "two" if first == "one" else "one"
    rig.wait_ready(first, namespace)
    rig.wait_reason(second, namespace, "MachineAPIMissing")

    bring("shared-2", labels={"pool": "shared"})

    rig.wait_ready(second, namespace)
    assert rig.worker_nodes(first, namespace) == ["shared-1"]
    assert rig.worker_nodes(second, namespace) == ["shared-2"]
    assert claim_on(rig, "shared-2") == f"{namespace}/{second}"


def test_node_that_the_user_takes_away_is_reported_and_another_one_serves(
    rig: Rig, bring: Bring, namespace: str
) -> None:
    first = bring("leaving", labels={"apps": "phi"})
    rig.kubectl.apply(workspace("phi", namespace))
    rig.wait_ready("phi", namespace)

    rig.take_away(first)

    rig.wait_explained("phi", namespace, "MachineAPIMissing")
    bring("coming", labels={"apps": "phi"})
    rig.wait_ready("phi", namespace)
    assert rig.worker_nodes("phi", namespace) == ["coming"]


def test_gpu_that_a_ready_node_does_not_show_is_reported_until_it_does(rig: Rig, bring: Bring, namespace: str) -> None:
    bring("blind", labels={"apps": "phi", INSTANCE_TYPE: GPU_SIZE}, vm_size="Standard_D4s_v3")

    rig.kubectl.apply(workspace("phi", namespace))

    rig.wait_explained("phi", namespace, "GPUNotVisible")
    message = rig.wait_explained("phi", namespace, "GPUMissing")
    assert "blind" in message
    assert "device plugin" in message
    assert rig.kubectl.run("get", "deployment", "phi", "-n", namespace).returncode != 0
    shown = json.dumps({"status": {"capacity": {GPU: "1"}, "allocatable": {GPU: "1"}}})
    rig.kubectl("patch", "node", "blind", "--subresource=status", "--type=merge", "-p", shown)
    rig.wait_ready("phi", namespace)


def test_pod_that_finds_no_room_is_explained_until_the_gpu_is_free(rig: Rig, bring: Bring, namespace: str) -> None:
    bring("full", labels={"apps": "phi"})
    container = {"name": "c", "image": "registry.example.com/other:1", "resources": {"limits": {GPU: "1"}}}
    spec = {"nodeName": "full", "containers": [container]}
    meta = {"name": "stranger", "namespace": namespace}
    rig.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})

    rig.kubectl.apply(workspace("phi", namespace))

    message = rig.wait_explained("phi", namespace, "PodUnschedulable")
    assert GPU in message
    rig.kubectl("delete", "pod", "stranger", "-n", namespace, "--timeout=60s")
    rig.wait_ready("phi", namespace)
