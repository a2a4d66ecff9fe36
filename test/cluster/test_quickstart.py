"""The published quickstart, typed as published, on kubelets that join for it; and how the operators' own pods run."""

from __future__ import annotations

import json

from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.product import DEPLOYMENTS, NAMESPACE, Product
from test.cluster.user import User

NAME = "workspace-phi-3-mini"


def test_published_quickstart_answers_by_cluster_ip_and_by_name(quickstart: User) -> None:
    user = quickstart

    header, row = user.kubectl("get", "workspace", NAME).splitlines()
    assert header.split()[2:5] == ["RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY"]
    assert row.split()[2:5] == ["True", "True", "True"]
    header, row = user.kubectl("get", "svc", NAME).splitlines()
    cluster_ip = row.split()[2]
    assert "What is Kubernetes?" in user.chat(cluster_ip, "What is Kubernetes?")
    assert "By name?" in user.chat(NAME, "By name?")
    (pod,) = user.pods(NAME)
    (machine,) = user.machines(NAME)
    node = json.loads(user.kubectl("get", "node", pod["spec"]["nodeName"], "-o", "json"))
    assert node["metadata"]["labels"]["agentpool"] == machine
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://2.")


def test_operators_run_as_two_replicas_each_under_the_restricted_standard(
    cluster: NodeCluster, product: Product
) -> None:
    namespace = json.loads(product.kubectl("get", "namespace", NAMESPACE, "-o", "json"))
    pods = product.kubectl.json("get", "pods", "-n", NAMESPACE)["items"]

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name in DEPLOYMENTS:
        own = [pod for pod in pods if pod["metadata"]["labels"]["app.kubernetes.io/name"] == name]
        assert len(own) == 2
        assert len({pod["spec"]["nodeName"] for pod in own}) == 2, "one on each node"
        for pod in own:
            (status,) = pod["status"]["containerStatuses"]
            assert status["ready"]
            assert status["restartCount"] == 0
    leases = product.kubectl.json("get", "leases", "-n", NAMESPACE)["items"]
    holders = {lease["metadata"]["name"]: lease["spec"]["holderIdentity"] for lease in leases}
    assert len(holders) == 2
    assert all(any(pod["metadata"]["name"] in holder for pod in pods) for holder in holders.values()), holders


def test_root_file_system_of_an_operator_is_read_only_and_has_no_shell(product: Product) -> None:
    write = "open('/app/x', 'w')"
    refused = product.kubectl.run("-n", NAMESPACE, "exec", "deploy/kaito-controller", "--", "python3", "-c", write)
    no_shell = product.kubectl.run("-n", NAMESPACE, "exec", "deploy/kaito-controller", "--", "sh", "-c", "true")

    assert "Read-only file system" in refused.stderr
    assert "executable file not found" in no_shell.stderr
