"""What a tenant writes into `resource.labelSelector` and `preferredNodes` to get at marks and nodes of others, with real processes.

The cloud's own list and the Nodes of the cluster decide: one pool for each order, nothing left behind, no mark on what was not offered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from controller_runtime.resources import NODES, Object
from gpu_provisioner.api.node_claim import NODE_CLAIMS
from hack.localcluster.cloud.cloud import SYSTEM_POOL
from kaito_controller.workspace.state.naming import CLAIM
from test.faults.gpu_provisioner.node_objects import machine_object, node_claim_object
from test.support.chosen_rig import ChosenRig
from test.support.kaito_rig import ROOT, Rig
from test.support.workspace_world import CRDS, workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FORGED = {
    "kaito.sh/machine-uid": "forged",
    "kaito.sh/workspace": "another",
    "kaito.sh/workspacenamespace": "kube-system",
    "kaito.sh/machine-type": "cpu",
    "karpenter.sh/provisioner-name": "stranger",
    "karpenter.sh/initialized": "true",
    "kubernetes.io/hostname": "elsewhere",
    "node.kubernetes.io/instance-type": "Standard_D2s_v3",
    "node-role.kubernetes.io/control-plane": "",
    "kubernetes.azure.com/agentpool": "systempool",
    "kubernetes.azure.com/mode": "system",
    "agentpool": "systempool",
}
MODE = {"kubernetes.azure.com/mode": "system"}
MINE = "ws0f0f0f0f0"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Nodes without an order only for one namespace, and only such as carry a label."""
    only = {"brought_node_namespaces": "team-trusted", "brought_node_selector": "pool=gpu"}
    with ChosenRig(tmp_path_factory.mktemp("selectors"), **only) as running:
        yield running


@pytest.fixture
def trusted(rig: Rig) -> Iterator[str]:
    """The namespace that settings name."""
    rig.kubectl("create", "namespace", "team-trusted")
    yield "team-trusted"
    rig.clean("team-trusted")
    rig.kubectl("delete", "namespace", "team-trusted")


def selecting(name: str, namespace: str, labels: dict[str, str], **resource: Any) -> Object:
    return workspace(name, namespace, resource={"labelSelector": {"matchLabels": labels}, **resource})


def orders(rig: Rig) -> int:
    return sum(call.method == "PUT" for call in rig.cluster.cloud.server.calls)


def claimed(rig: Rig) -> set[str]:
    """Nodes that carry the mark of any Workspace."""
    return {
        n["metadata"]["name"] for n in rig.client.list(NODES).items if CLAIM in (n["metadata"].get("annotations") or {})
    }


def system_node(rig: Rig) -> Object:
    """The one that the cluster came with."""
    (found,) = rig.client.list(NODES, label_selector=f"agentpool={SYSTEM_POOL}").items
    return found


@pytest.mark.parametrize("key", FORGED)
def test_a_key_that_is_not_the_tenants_is_refused_at_apply(rig: Rig, namespace: str, key: str) -> None:
    refused = rig.kubectl.run("apply", "-f", "-", stdin=yaml.safe_dump(selecting("phi", namespace, {key: FORGED[key]})))

    assert refused.returncode != 0
    assert "must not use label keys of kaito.sh, kubernetes.io, k8s.io, karpenter.sh or a cloud" in refused.stderr


@pytest.mark.our_provisioner("the marks on Node and agent pool are those of our provisioner")
def test_a_machine_whose_labels_are_forged_keeps_its_own_marks_and_leaves_nothing(rig: Rig) -> None:
    """As another controller, or one that takes over every label of a selector, would write it."""
    before, nodes = orders(rig), {n["metadata"]["name"] for n in rig.client.list(NODES).items}
    build = node_claim_object if rig.orders is NODE_CLAIMS else machine_object
    body = build(MINE, labels={**FORGED, "kaito.sh/workspace": "phi"})
    made = rig.client.create(rig.orders, {"apiVersion": rig.orders.api_version, "kind": rig.orders.kind, **body})

    def ready() -> Object | None:
        found = rig.client.get(rig.orders, MINE)
        told = {c["type"]: c["status"] for c in (found.get("status") or {}).get("conditions") or ()}
        return found if told.get("Ready") == "True" else None

    found = rig.wait_for(ready, "Ready=True")
    node = rig.client.get(NODES, found["status"]["nodeName"])
    assert node["metadata"]["labels"]["kaito.sh/machine-uid"] == made["metadata"]["uid"]
    assert node["metadata"]["labels"]["kubernetes.azure.com/mode"] == "user"
    assert node["metadata"]["labels"]["agentpool"] == MINE

    rig.client.delete(rig.orders, MINE)
    rig.wait_for(lambda: not rig.client.list(rig.orders).items, "the end of the order")
    assert rig.supply.billed() == {}
    rig.wait_for(lambda: {n["metadata"]["name"] for n in rig.client.list(NODES).items} == nodes, "the end of its Node")
    assert orders(rig) == before + 1


def test_a_selector_as_wide_as_the_cluster_takes_no_system_node(rig: Rig, trusted: str) -> None:
    """Also where the Node has every label that a setting asks for, and is named as preferred."""
    node = system_node(rig)
    name = node["metadata"]["name"]
    rig.client.patch(NODES, name, {"metadata": {"labels": {"pool": "gpu", "kaito.sh/allow-workspaces": "true"}}})

    rig.kubectl.apply(selecting("wide", trusted, {"pool": "gpu"}, preferredNodes=[name]))

    rig.wait_ready("wide", trusted, 90.0)
    assert name not in rig.worker_nodes("wide", trusted)
    assert claimed(rig) == set()
    assert len(rig.machines("wide", trusted)) == 1
    assert {m["metadata"]["name"] for m in rig.machines("wide", trusted)} == rig.supply.billed().keys()


def test_settings_say_which_nodes_and_which_namespaces(rig: Rig, namespace: str, trusted: str) -> None:
    vms = [rig.bring_node("offered", {"apps": "phi", "pool": "gpu"}), rig.bring_node("kept", {"apps": "phi"})]
    try:
        rig.kubectl.apply(workspace("phi", namespace, resource={"preferredNodes": ["offered", "kept"]}))
        rig.wait_ready("phi", namespace, 90.0)
        assert claimed(rig) == set()

        rig.kubectl.apply(workspace("phi", trusted, resource={"count": 1, "preferredNodes": ["kept", "offered"]}))
        rig.wait_ready("phi", trusted, 90.0)
        assert rig.worker_nodes("phi", trusted) == ["offered"]
        assert claimed(rig) == {"offered"}
    finally:
        rig.clean(namespace)
        rig.clean(trusted)
        for vm in vms:
            rig.take_away(vm)


@pytest.mark.localcluster("the CRD is changed under objects that its rules refuse")
def test_forged_marks_are_refused_before_an_order_where_no_rule_stopped_them(rig: Rig, namespace: str) -> None:
    """As with a CRD of an older version: the rules are in the controller too."""
    crd = rig.client.get(CRDS, "workspaces.kaito.sh")
    rig.client.replace(CRDS, _without_rules(crd))
    before = orders(rig)
    try:
        rig.wait_for(lambda: _taken(rig, namespace), "the CRD without rules")
        message = rig.wait_explained("phi", namespace, "InvalidSpec")
        assert "must not use label keys of kaito.sh" in message
        assert rig.machines("phi", namespace) == []
        assert orders(rig) == before
    finally:
        shipped = yaml.safe_load((ROOT / "config/crd/kaito.sh_workspaces.yaml").read_text())
        rig.client.replace(CRDS, {**rig.client.get(CRDS, "workspaces.kaito.sh"), "spec": shipped["spec"]})


def _taken(rig: Rig, namespace: str) -> bool:
    forged = selecting("phi", namespace, {"kaito.sh/machine-uid": "forged"})
    return rig.kubectl.run("apply", "-f", "-", stdin=yaml.safe_dump(forged)).returncode == 0


def _without_rules(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_rules(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _without_rules(value) for key, value in node.items() if key != "x-kubernetes-validations"}
