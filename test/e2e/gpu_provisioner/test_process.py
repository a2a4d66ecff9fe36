"""The process itself: clear refusals to start, probes and metrics, a clean end, and faults on the wire."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from controller_runtime.client.kubernetes_client import Client
from hack.localcluster.faults import Fault, FaultKind, Rule
from test.e2e.gpu_provisioner.test_machines import create, is_ready, orders, own_pools
from test.support.clusters import AnyCluster
from test.support.processes import Process
from test.support.sampling import sampled

pytestmark = pytest.mark.e2e
Start = Callable[..., Process]
NAME = "wsabcdef012"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
        return str(reply.read().decode())


def test_without_settings_it_says_what_is_missing(tmp_path: Path) -> None:
    nothing = {"ARM_SUBSCRIPTION_ID": "", "ARM_RESOURCE_GROUP": "", "AZURE_CLUSTER_NAME": ""}
    with Process.module("gpu_provisioner", env=nothing, log_dir=tmp_path) as process:
        assert process.wait_for_exit(30) == 2
    assert "ARM_SUBSCRIPTION_ID" in process.output
    assert "Traceback" not in process.output


def test_a_cluster_that_does_not_exist_is_said_at_start(cluster: AnyCluster, tmp_path: Path) -> None:
    environment = {**cluster.environment, "AZURE_CLUSTER_NAME": "elsewhere"}
    with Process.module("gpu_provisioner", env=environment, log_dir=tmp_path) as process:
        assert process.wait_for_exit(30) == 2
    assert "ResourceNotFound" in process.output
    assert "cluster name" in process.output
    assert "Traceback" not in process.output


def test_a_federated_token_that_is_not_there_is_said_at_start(cluster: AnyCluster, tmp_path: Path) -> None:
    environment = {
        **cluster.environment,
        "AZURE_CREDENTIAL": "workload-identity",
        "AZURE_CLIENT_ID": "client",
        "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "missing"),
        "AZURE_AUTHORITY_HOST": "https://127.0.0.1:1",
    }
    with Process.module("gpu_provisioner", env=environment, log_dir=tmp_path) as process:
        assert process.wait_for_exit(60) == 2
    assert "identity" in process.output
    assert "Traceback" not in process.output


def test_probes_metrics_and_a_clean_end(cluster: AnyCluster, client: Client, provisioner: Start) -> None:
    probes, metrics = free_port(), free_port()
    process = provisioner(health_probe_bind_address=f"127.0.0.1:{probes}", metrics_bind_address=f"127.0.0.1:{metrics}")
    process.wait_for_output("workers started")
    create(client, NAME)
    process.wait_for(lambda: is_ready(client, NAME), 60, "Ready=True")
    assert fetch(probes, "/readyz").startswith("ok")
    shown = fetch(metrics, "/metrics")
    for line in (
        'karpenter_machines_launched_total{provisioner="default"} 1.0',
        'karpenter_machines_initialized_total{provisioner="default"} 1.0',
        'gpu_provisioner_machine_phase_duration_seconds_count{phase="launch"} 1.0',
    ):
        assert line in shown
    assert NAME not in shown
    assert process.terminate() == 0
    assert own_pools(cluster) == [NAME]


ON_THE_KUBE_API = pytest.mark.localcluster("no one can order faults on the wire of a real API server")
FAULTS = {
    "order-reply-lost": Rule(Fault(FaultKind.COMMIT_THEN_DROP), server="arm", verb="create_or_update"),
    "order-throttled": Rule(
        Fault(FaultKind.STATUS, code=429, reason="TooManyRequests", retry_after_s=2),
        server="arm",
        verb="create_or_update",
    ),
    "reads-garbled": Rule(Fault(FaultKind.GARBAGE), server="arm", verb="list,get", nth=2, times=3),
    "status-replies-lost": Rule(
        Fault(FaultKind.COMMIT_THEN_DROP),
        server="kube",
        resource="machines",
        subresource="status",
        verb="patch",
        times=2,
    ),
    "node-patch-500": Rule(
        Fault(FaultKind.STATUS, code=500), server="kube", resource="nodes", verb="patch", client="*gpu-provisioner*"
    ),
    "watch-cut": Rule(
        Fault(FaultKind.CUT), server="kube", resource="machines", event="*", client="*gpu-provisioner*", times=3
    ),
}


WIRE = [
    pytest.param(rule, id=name, marks=[ON_THE_KUBE_API] if rule.server == "kube" else [])
    for name, rule in FAULTS.items()
]


@pytest.mark.parametrize("fault", sampled(WIRE, every=3))
def test_one_fault_on_the_wire_costs_time_and_nothing_else(
    cluster: AnyCluster, client: Client, provisioner: Start, fault: Rule
) -> None:
    process = provisioner()
    process.wait_for_output("workers started")
    cluster.faults.add(fault)
    create(client, NAME)
    process.wait_for(lambda: is_ready(client, NAME), 80, "Ready=True")
    assert len([call for call in orders(cluster) if call.status == 201]) <= 1
    assert own_pools(cluster) == [NAME]
