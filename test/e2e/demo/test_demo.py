"""`make demo` and `make up` as a newcomer meets them: what is printed, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.support.kubectl import Kubectl, kubectl_binary
from test.support.processes import Process, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DEMO_TIMEOUT_S = 240.0
"""On a loaded machine; alone on two cores it takes less than a minute."""
MILESTONES = [
    r"localcluster is ready",
    r"installed config/default: \d+ objects, with the shipped roles enforced",
    r"kaito-controller and gpu-provisioner are ready",
    r"tuning\.output\.image: Invalid value",
    r"workspace\.kaito\.sh/workspace-phi-3-mini created",
    r"waiting for WorkspaceReady of all 6;",
    r"^== How long each phase took",
    r"workspace-phi-3-mini +ready after +\d+\.\d s: .*MachinesPending \d+\.\d s",
    r"^NAME +INSTANCE +RESOURCEREADY +INFERENCEREADY +WORKSPACEREADY +AGE$",
    r"^workspace-phi-3-mini +Standard_NC6s_v3 +True +True +True +\d+",
    r"^workspace-phi-3-mini +ClusterIP +[\d.]+ +<none> +80/TCP,29500/TCP",
    r"^NAME +TYPE +ZONE +NODE +READY +AGE$",
    r"^ws\w{9} +Standard_NC\w+ +aks-ws[\w-]+-vmss000000 +True +\d+",
    r'^\{"Result": "What is Kubernetes\?',
    r"^workspace\.kaito\.sh/workspace-too-big created",
    r"^\$ kubectl kaito explain workspace-too-big$",
    r"^!! +Machine ws\w{9} +QuotaExceeded",
    r"reports\s+QuotaExceeded: [\s\S]*Ask\s+Azure\s+for\s+at\s+least\s+24\s+more\s+cores",
    r"^Whose move: yours\.",
    r"^No resources found$",
    r"agent pools left in the cloud: systempool, userpool ",
    r"^== Done in \d+ s",
]

PROGRESS = [
    r"workspace-\S+ +MachinesPending: Waiting for .*Machine ws\w{9}",
    r"workspace-phi-3-mini +InferenceServing",
    r"workspace-tuning-phi-3 +TuningSucceeded: The result was pushed to myregistry",
]
"""Lines of four Workspaces that become ready side by side, so in no certain order."""


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Process]:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Process.module("hack.demo", env={"TMPDIR": str(temporary)}, log_dir=tmp_path) as process:
        yield process


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Process]:
    flags = ("--keep", "--dir", str(tmp_path / "up"), "--kaito-controller-flag=--machine-timeout-s=61")
    with Process.module("hack.demo", *flags, log_dir=tmp_path) as process:
        yield process


def processes_that_name(folder: Path) -> list[str]:
    """Command lines or environments under /proc that mention a folder of the test; our own process does not count."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command:
                found.append(command)
    return found


def test_demo_tells_the_whole_story_in_order_and_leaves_no_file_behind(demo: Process, tmp_path: Path) -> None:
    code = demo.wait_for_exit(DEMO_TIMEOUT_S)

    assert code == 0, demo.output
    position = 0
    for milestone in MILESTONES:
        match = re.compile(milestone, re.MULTILINE).search(demo.output, position)
        assert match, f"{milestone!r} is missing, or comes too early, in:\n{demo.output}"
        position = match.start()
    assert [line for line in PROGRESS if not re.search(line, demo.output)] == []
    assert not list((tmp_path / "tmp").glob("kaito-demo-*"))


def test_up_prints_a_kubeconfig_that_works_and_ctrl_c_stops_everything(up: Process, tmp_path: Path) -> None:
    printed = up.wait_for_output(r"export KUBECONFIG=(\S+)", DEMO_TIMEOUT_S)
    up.wait_for_output(r"export ADMIN=http://127\.0\.0\.1:\d+", 10)
    up.wait_for_output("Ctrl-C stops everything", 10)

    assert "The cloud runs 60 times as fast" in up.output
    assert kubectl_binary() in up.output
    assert any("--machine-timeout-s=61" in command for command in processes_that_name(tmp_path / "up"))
    shown = Kubectl(Path(printed[1]), tmp_path)("get", "deployments,crds,workspaces", "-A")
    assert "workspaces.kaito.sh" in shown
    assert len(processes_that_name(tmp_path / "up")) >= 3

    up.signal(signal.SIGINT)

    assert up.wait_for_exit(60) == 0, up.output
    assert up.output.rstrip().endswith("stopping")
    wait_until(lambda: not processes_that_name(tmp_path / "up"), 10, "every process to be gone")


def test_a_demo_that_cannot_start_says_why_and_where_the_logs_are(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").mkdir(parents=True)

    with Process.module("hack.demo", "--dir", str(tmp_path), log_dir=tmp_path) as process:
        code = process.wait_for_exit(DEMO_TIMEOUT_S)

    assert code == 1
    assert "The demo did not get through" in process.output
    assert f"Logs of all processes: {tmp_path}" in process.output
    assert not process.output.rstrip().startswith("Traceback")
