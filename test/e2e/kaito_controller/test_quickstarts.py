"""The published quickstarts, as a newcomer runs them: apply, watch the two tables, talk to the model, delete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from test.support.kaito_rig import ROOT, Rig

SAMPLES = ROOT / "config" / "samples"
FILLED = {
    "ACR_REPO_HERE": "myregistry",
    "IMAGE_NAME_HERE": "tuned-phi",
    "ADAPTER_HERE": "my-adapter",
    "ACR_REGISTRY_SECRET_HERE": "registry-secret",
}
WORKSPACE_COLUMNS = ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
SERVICE_COLUMNS = ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
QUICKSTARTS = {
    "inference-phi-3-mini.yaml": ("workspace-phi-3-mini", "Standard_NC6s_v3"),
    "inference-phi-3-mini-adapter.yaml": ("workspace-phi-3-mini-adapter", "Standard_NC6s_v3"),
    "inference-falcon-7b.yaml": ("workspace-falcon-7b", "Standard_NC12s_v3"),
    "inference-template.yaml": ("workspace-custom-llm", "Standard_NC6s_v3"),
    "tuning-phi-3-qlora.yaml": ("workspace-tuning-phi-3", "Standard_NC6s_v3"),
}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def filled(file: str, folder: Path) -> Path:
    text = (SAMPLES / file).read_text()
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    target = folder / file
    target.write_text(text)
    return target


def add_push_secret(rig: Rig, namespace: str) -> None:
    login = ["--docker-server=myregistry.azurecr.io", "--docker-username=u", "--docker-password=p"]
    rig.kubectl("create", "secret", "docker-registry", "registry-secret", "-n", namespace, *login)


@pytest.mark.node_apis
@pytest.mark.parametrize("file", QUICKSTARTS)
def test_quickstart_becomes_ready_and_prints_the_published_tables(
    rig: Rig, namespace: str, folder: Path, file: str
) -> None:
    name, instance = QUICKSTARTS[file]
    add_push_secret(rig, namespace)

    rig.kubectl("apply", "-n", namespace, "-f", str(filled(file, folder)))

    rig.wait_ready(name, namespace)
    header, row = rig.kubectl("get", "workspace", name, "-n", namespace).splitlines()
    assert header.split() == WORKSPACE_COLUMNS
    inference = [] if file.startswith("tuning") else ["True"]
    assert row.split()[:-1] == [name, instance, "True", *inference, "True"]
    header, row = rig.kubectl("get", "svc", name, "-n", namespace).splitlines()
    assert header.split() == SERVICE_COLUMNS
    shown = row.split()
    assert (shown[0], shown[1], shown[3], shown[4]) == (name, "ClusterIP", "<none>", "80/TCP,29500/TCP")
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", shown[2])


@pytest.mark.localcluster("a real API server cannot reach the played pods: they have no network")
def test_chat_through_the_service_reaches_the_model_server(rig: Rig, namespace: str, folder: Path) -> None:
    rig.kubectl("apply", "-n", namespace, "-f", str(filled("inference-phi-3-mini.yaml", folder)))
    rig.wait_ready("workspace-phi-3-mini", namespace)

    path = f"/api/v1/namespaces/{namespace}/services/workspace-phi-3-mini:80/proxy/chat"
    answer = rig.kubectl("create", "--raw", path, "-f", "-", stdin='{"prompt": "What is kubernetes?"}')

    assert "Result" in answer


def test_unfilled_placeholder_is_refused_and_nothing_is_ordered(rig: Rig, namespace: str) -> None:
    refused = rig.kubectl.run("apply", "-n", namespace, "-f", str(SAMPLES / "inference-phi-3-mini-adapter.yaml"))

    assert refused.returncode != 0
    assert "lower" in refused.stderr
    assert not rig.kubectl.json(
        "get", f"{rig.orders.plural}.karpenter.sh", "-l", f"kaito.sh/workspacenamespace={namespace}"
    )["items"]


@pytest.mark.node_apis
def test_deletion_leaves_nothing_behind(rig: Rig, namespace: str, folder: Path) -> None:
    rig.kubectl("apply", "-n", namespace, "-f", str(filled("inference-phi-3-mini.yaml", folder)))
    rig.wait_ready("workspace-phi-3-mini", namespace)
    node = rig.workspace("workspace-phi-3-mini", namespace)["status"]["workerNodes"][0]

    rig.kubectl("delete", "workspace", "workspace-phi-3-mini", "-n", namespace, "--timeout=60s")

    for kind in ("deployments", "services", "configmaps", "jobs"):
        found = rig.kubectl.json("get", kind, "-n", namespace, "-l", "kaito.sh/workspace=workspace-phi-3-mini")
        assert not found["items"], kind
    assert not rig.machines("workspace-phi-3-mini", namespace)
    rig.wait_for(lambda: rig.find("node", node) is None, f"node {node} to go")
