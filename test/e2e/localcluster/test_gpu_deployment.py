"""A GPU workload from end to end: no node, an agent pool through the real Azure client, a serving pod, and the way back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from azure.mgmt.containerservice.models import AgentPool

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import DEPLOYMENTS, NODES, PODS, Object
from hack.localcluster.cluster import LocalCluster
from test.support.azure import Pools, azure_client
from test.support.kubectl import Kubectl, kubectl_binary
from test.support.manifests import GPU_TOLERATION, deployment, gpus, service
from test.support.processes import Process, wait_until

pytestmark = pytest.mark.e2e
MODEL_PORT = [{"containerPort": 5000}]


@pytest.fixture
def pools(cluster: LocalCluster) -> Iterator[Pools]:
    with azure_client(cluster.cloud) as azure:
        yield Pools(azure, cluster.cloud)


def gpu_pool(**labels: str) -> AgentPool:
    return AgentPool(
        count=1,
        vm_size="Standard_NC12s_v3",
        type_properties_type="VirtualMachineScaleSets",
        os_type="Linux",
        node_labels={"kaito.sh/machine-type": "gpu", **labels},
        node_taints=["sku=gpu:NoSchedule"],
    )


def node_of_pool(client: Client, pool: str) -> Object | None:
    nodes = client.list(NODES, label_selector=f"agentpool={pool}").items
    return nodes[0] if nodes else None


def pods_of(client: Client, app: str) -> list[Object]:
    return client.list(PODS, "default", label_selector=f"app={app}").items


def remove_pool(client: Client, pools: Pools, name: str) -> None:
    pools.begin_delete(name).result()
    wait_until(lambda: node_of_pool(client, name) is None, what=f"the node of {name} gone")


def condition(obj: Object, kind: str) -> Object:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((entry for entry in conditions if entry["type"] == kind), {})


def test_gpu_deployment_waits_for_a_node_serves_and_loses_it_again(
    client: Client, pools: Pools, kubectl: Kubectl, eventually: Callable[..., Object]
) -> None:
    kubectl.apply(deployment("falcon", resources=gpus(2), tolerations=[GPU_TOLERATION], ports=MODEL_PORT))
    wait_until(
        lambda: [p for p in pods_of(client, "falcon") if condition(p, "PodScheduled")],
        what="a verdict of the scheduler",
    )
    pending = pods_of(client, "falcon")[0]
    assert pending["status"]["phase"] == "Pending"
    assert condition(pending, "PodScheduled")["reason"] == "Unschedulable"
    assert "Insufficient nvidia.com/gpu" in condition(pending, "PodScheduled")["message"]
    assert "FailedScheduling" in kubectl("describe", "pod", pending["metadata"]["name"])

    pools.begin_create("ws0123456a", gpu_pool()).result()
    kubectl("wait", "deployment/falcon", "--for=condition=Available", "--timeout=30s")
    node = node_of_pool(client, "ws0123456a")
    assert node is not None
    running = eventually(
        PODS, pods_of(client, "falcon")[0]["metadata"]["name"], lambda p: p["status"]["phase"] == "Running"
    )
    assert running["spec"]["nodeName"] == node["metadata"]["name"]
    kubectl("rollout", "status", "deployment/falcon", "--timeout=30s")

    remove_pool(client, pools, "ws0123456a")
    eventually(DEPLOYMENTS, "falcon", lambda d: condition(d, "Available").get("status") == "False")
    wait_until(lambda: all(not p["spec"].get("nodeName") for p in pods_of(client, "falcon")), what="only pending pods")


def test_node_joins_with_the_labels_taints_and_provider_id_of_aks(
    client: Client, pools: Pools, cluster: LocalCluster
) -> None:
    pools.begin_create("ws0123456b", gpu_pool(team="a")).result()
    node = wait_until(lambda: node_of_pool(client, "ws0123456b"), what="the node")
    labels, spec = node["metadata"]["labels"], node["spec"]
    assert labels["kubernetes.azure.com/agentpool"] == labels["agentpool"] == "ws0123456b"
    assert labels["node.kubernetes.io/instance-type"] == "Standard_NC12s_v3"
    assert labels["kubernetes.io/hostname"] == node["metadata"]["name"]
    assert (labels["team"], labels["kaito.sh/machine-type"], labels["accelerator"]) == ("a", "gpu", "nvidia")
    assert {"key": "sku", "value": "gpu", "effect": "NoSchedule"} in spec["taints"]
    scale_set = node["metadata"]["name"].removesuffix("000000")
    identity = cluster.cloud.identity
    assert spec["providerID"] == (
        f"azure:///subscriptions/{identity.subscription_id}/resourceGroups/mc_localcluster-rg_localcluster_eastus"
        f"/providers/Microsoft.Compute/virtualMachineScaleSets/{scale_set}/virtualMachines/0"
    )
    remove_pool(client, pools, "ws0123456b")


def test_gpu_shows_in_the_capacity_only_after_the_node_is_ready(
    client: Client, pools: Pools, cluster: LocalCluster
) -> None:
    pools.begin_create("ws0123456c", gpu_pool()).result()

    def with_gpu() -> Object | None:
        node = node_of_pool(client, "ws0123456c")
        return node if node is not None and "nvidia.com/gpu" in node["status"]["allocatable"] else None

    node = wait_until(with_gpu, what="GPUs")
    assert node["status"]["capacity"]["nvidia.com/gpu"] == "2"
    states = [
        (
            condition(change.entry.obj, "Ready").get("status"),
            "nvidia.com/gpu" in change.entry.obj["status"]["allocatable"],
        )
        for change in cluster.apiserver.events_log
        if change.resource == ("", "nodes") and change.entry.obj["metadata"]["labels"].get("agentpool") == "ws0123456c"
    ]
    assert states.index(("True", False)) < states.index(("True", True))
    assert ("False", True) not in states
    remove_pool(client, pools, "ws0123456c")


def test_model_answers_through_the_proxy_of_the_service(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(service("phi"))
    path = "/api/v1/namespaces/default/services/phi:80/proxy"
    too_early = kubectl.run("get", "--raw", f"{path}/healthz")
    assert "no endpoints available" in too_early.stderr
    kubectl.apply(deployment("phi", ports=MODEL_PORT))
    kubectl("rollout", "status", "deployment/phi", "--timeout=30s")
    assert json.loads(kubectl("get", "--raw", f"{path}/healthz")) == {"status": "Healthy"}
    address = pods_of(client, "phi")[0]["status"]["podIP"]
    wait_until(
        lambda: f"{address}:5000" in kubectl("describe", "service", "phi"), what="the pod among the Service's endpoints"
    )
    with Process([kubectl_binary(), "proxy", "--port=0"], env=kubectl.environment) as proxy:
        port = proxy.wait_for_output(r"Starting to serve on 127\.0\.0\.1:(\d+)").group(1)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}/chat",
            json.dumps({"prompt": "What is AI?"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            assert "What is AI?" in json.loads(reply.read())["Result"]


@pytest.mark.parametrize(
    ("ports", "labels", "answers"),
    [
        ([], {}, True),
        ([{"containerPort": 8000}], {"kaito.sh/workspace": "mine"}, True),
        ([{"containerPort": 8000}], {}, False),
    ],
    ids=["no port declared", "a Workspace's pod on another port", "some other server"],
)
def test_pods_behind_a_service_answer_as_models_where_they_can_be_some(
    kubectl: Kubectl, ports: list[Object], labels: dict[str, str], answers: bool
) -> None:
    wanted = deployment("mine", ports=ports)
    wanted["spec"]["template"]["metadata"]["labels"].update(labels)
    kubectl.apply(service("mine"))
    kubectl.apply(wanted)
    kubectl("rollout", "status", "deployment/mine", "--timeout=30s")

    reply = kubectl.run("get", "--raw", "/api/v1/namespaces/default/services/mine:80/proxy/healthz")

    assert (reply.returncode == 0) == answers, reply.stderr
    kubectl("delete", "deployment,service", "mine")
    kubectl("wait", "--for=delete", "pod", "-l", "app=mine", "--timeout=30s")
