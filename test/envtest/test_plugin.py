"""The kubectl plugin against a real control plane of each pinned minor: what a person types, as a process, with the operators at work.

The plugin reads core, apps and batch at v1, Leases, access reviews, CRDs and admission policies at v1, and our own types; it sends no field
and asks for no option that one minor has and the next has not. So what holds on the oldest and the newest pinned minor holds between
them. The real API server cannot reach the pods that localcluster plays, which have no network: `chat` and `logs` say so here.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.demo.installation import Installation
from hack.envtest.furnished import FurnishedCluster
from hack.render.kustomize import ROOT, kubectl
from test.e2e.plugin.terminal import environment

pytestmark = [pytest.mark.envtest, pytest.mark.timeout(300)]

NAME = "workspace-phi-3-mini"
SAMPLE = ROOT / "config/samples/inference-phi-3-mini.yaml"
TIME_SCALE = 120.0


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a cluster with both operators and a Workspace that becomes ready."""
    settings = {"gpu-provisioner": (f"--time-scale={TIME_SCALE:g}",)}
    with (
        FurnishedCluster(time_scale=TIME_SCALE) as cluster,
        Installation(cluster.kubeconfig, tmp_path_factory.mktemp("up"), cluster.environment, settings=settings) as up,
    ):
        up.install()
        up.start_operators()
        up.apply(SAMPLE.read_text())
        yield cluster.kubeconfig


def kaito(kubeconfig: Path, *words: str) -> tuple[int, str]:
    """Exit code, and both outputs together."""
    reply = subprocess.run(
        [kubectl(), "kaito", *words],
        cwd=ROOT, env=environment(kubeconfig), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in reply.stderr
    return reply.returncode, reply.stdout + reply.stderr


def test_a_workspace_is_followed_until_it_is_ready_and_then_explained_and_planned(kubeconfig: Path) -> None:
    code, followed = kaito(kubeconfig, "explain", NAME, "--watch", "--timeout=120")
    assert code == 0, followed
    assert "InferenceServing" in followed

    explained = json.loads(kaito(kubeconfig, "explain", NAME, "-o", "json")[1])
    assert explained["ready"]
    links = ["Workspace", "Machine", "Pool", "Node", "Deployment", "Pod", "Container"]
    assert [step["kind"] for step in explained["chain"]] == links
    code, planned = kaito(kubeconfig, "plan", NAME)
    assert code == 0
    assert "Quota as published for eastus" in planned
    assert "cannot be read" not in planned


def test_doctor_and_gc_find_a_sound_installation_on_this_minor(kubeconfig: Path) -> None:
    doctor = json.loads(kaito(kubeconfig, "doctor", "-o", "json")[1])

    bad = [finding["check"] for finding in doctor["findings"] if finding["level"] in ("bad", "unknown")]
    assert bad == ["node api"], "the controller is no pod here, so that nothing leads to its metrics"
    assert {"crd", "admission", "operators", "permissions"} <= {finding["check"] for finding in doctor["findings"]}
    assert kaito(kubeconfig, "gc")[0] == 0


def test_a_tuning_workspace_is_judged_by_this_servers_admission(kubeconfig: Path) -> None:
    words = ("--url=https://example.com/data.parquet", "--output=myregistry.azurecr.io/mine:1", "--push-secret=push")
    model, card = "--model=phi-3-mini-128k-instruct", "--instance-type=Standard_NC24ads_A100_v4"

    assert kaito(kubeconfig, "tune", "mine", model, card, *words, "--create") == (
        0,
        "workspace.kaito.sh/mine created; follow it: kubectl kaito explain mine -n default --watch\n",
    )
    assert kaito(kubeconfig, "tune", "mine", model, card, *words, "--create")[0] == 2


def test_what_needs_a_pods_network_is_refused_in_a_sentence(kubeconfig: Path) -> None:
    assert kaito(kubeconfig, "explain", NAME, "--watch", "--timeout=120")[0] == 0
    for words in (("chat", NAME, "Hi"), ("logs", NAME), ("chat", "nowhere", "Hi")):
        code, said = kaito(kubeconfig, *words)
        assert code == 2, said
        assert "kubectl-kaito: " in said
    assert kaito(kubeconfig, "top")[0] in (0, 1)
