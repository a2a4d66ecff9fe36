"""The bases without gpu-provisioner, installed as they are shipped: for nodes that people bring, and beside another provisioner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack.demo.installation import Installation
from hack.demo.story import SAMPLES
from hack.localcluster.cluster import LocalCluster
from test.install import grants, shipped
from test.support.processes import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

QUICKSTART = SAMPLES / "inference-phi-3-mini.yaml"
NAME = "workspace-phi-3-mini"
MACHINE_CRD = "CustomResourceDefinition//machines.karpenter.sh"
MACHINE_VIEWER = "ClusterRole//kaito-machine-viewer"


def objects(base: str) -> dict[str, shipped.Document]:
    return {shipped.key(document): document for document in shipped.base(base)}


def test_another_provisioner_finds_everything_but_ours() -> None:
    left, whole = objects("other-provisioner"), objects("default")

    assert left == {key: document for key, document in whole.items() if "gpu-provisioner" not in key}
    assert MACHINE_CRD in left


def test_with_brought_nodes_there_is_no_machine_api_either() -> None:
    left, whole = objects("brought-nodes"), objects("other-provisioner")

    assert whole.keys() - left.keys() == {MACHINE_CRD, MACHINE_VIEWER}
    assert left.items() <= whole.items()


class Running(Installation):
    """An installation, and what its Workspace says."""

    def condition(self, kind: str = "WorkspaceReady") -> dict[str, str]:
        (workspace,) = self.objects("workspace")
        conditions = workspace.get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def wait_reason(self, reason: str, kind: str = "WorkspaceReady") -> None:
        wait_until(lambda: self.condition(kind).get("reason") == reason, 60, f"{kind} to say {reason}", step_s=0.2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    with LocalCluster(time_scale=300, directory=tmp_path / "cluster", rbac=True) as running:
        yield running


@pytest.fixture
def product(cluster: LocalCluster, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    with Running(cluster.kubeconfig, tmp_path, cluster.environment, base=request.param) as running:
        running.install()
        running.start_operators()
        assert list(running.operators) == ["kaito-controller"]
        yield running


def refused(cluster: LocalCluster) -> list[str]:
    return [r.path for r in grants.from_localcluster(cluster.apiserver.audit) if r.code in (401, 403)]


@pytest.mark.parametrize("product", ["brought-nodes"], indirect=True)
def test_a_model_is_served_on_a_node_that_people_brought(product: Running, cluster: LocalCluster) -> None:
    assert "machines" not in product.kubectl("get", "crds", "-o", "name")
    product.apply(QUICKSTART.read_text())
    product.wait_reason("MachineAPIMissing")

    node = next(n["metadata"]["name"] for n in product.objects("node") if "userpool" in n["metadata"]["name"])
    gpus = {"nvidia.com/gpu": "1"}
    status = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
    product.kubectl("patch", "node", node, "--subresource=status", "-p", status)
    wanted = yaml.safe_load(QUICKSTART.read_text())["resource"]
    labels = {"node.kubernetes.io/instance-type": wanted["instanceType"], **wanted["labelSelector"]["matchLabels"]}
    product.kubectl("label", "node", node, "--overwrite", *(f"{key}={value}" for key, value in labels.items()))

    product.wait_reason("InferenceServing")
    (workspace,) = product.objects("workspace")
    assert workspace["status"]["workerNodes"] == [node]
    assert not refused(cluster)


@pytest.mark.long  # a missing type is asked for again after up to 20 s
@pytest.mark.parametrize("product", ["brought-nodes"], indirect=True)
def test_a_machine_api_that_comes_later_is_used_without_a_restart(product: Running, cluster: LocalCluster) -> None:
    product.apply(QUICKSTART.read_text())
    product.wait_reason("MachineAPIMissing")

    product.kubectl("apply", "-k", str(shipped.ROOT / "config" / "crd"))

    wait_until(lambda: product.objects("machine"), 60, "a Machine to be ordered", step_s=0.2)
    assert not refused(cluster)


@pytest.mark.parametrize("product", ["other-provisioner"], indirect=True)
def test_a_machine_is_ordered_and_waits_for_the_other_provisioner(product: Running, cluster: LocalCluster) -> None:
    product.apply(QUICKSTART.read_text())

    (machine,) = wait_until(lambda: product.objects("machine"), 60, "a Machine to be ordered", step_s=0.2)
    product.wait_reason("MachinesPending")
    assert machine["metadata"]["labels"]["kaito.sh/workspace"] == NAME
    assert "status" not in machine
    assert not refused(cluster)
