"""What is left after `kubectl delete`, after Ctrl-C and after `kill -9`: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.envtest.nodes import cgroups, leftovers
from hack.envtest.nodes.cluster import NodeCluster
from hack.render.kustomize import ROOT
from test.cluster.user import GONE_TIMEOUT_S, User
from test.support.processes import wait_until

NAME = "workspace-phi-3-mini"
START_TIMEOUT_S = 240.0


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob(f"{leftovers.PREFIX}*"))


def processes(word: str) -> list[str]:
    """Command lines in which a word occurs; processes of other sandboxes are seen from here too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in line and path.parent.name != str(os.getpid()):
            found.append(line)
    return found


def test_deleted_workspace_leaves_no_pool_node_container_interface_or_control_group(
    cluster: NodeCluster, user: User
) -> None:
    before = cluster.hub.run("ip", "-brief", "link").splitlines()
    user.apply(user.sample("inference-phi-3-mini.yaml"))
    user.wait_ready(NAME)
    (machine,) = user.machines(NAME)
    (pod,) = user.pods(NAME)
    node = cluster.vms.node(pod["spec"]["nodeName"])
    pid, group = node.sandbox.pid, node.cgroup
    assert len(node.containers()) >= 2, "the model and its sandbox"
    assert any((hierarchy / group).exists() for hierarchy in cgroups.hierarchies())

    user.kubectl("delete", "workspace", NAME, f"--timeout={GONE_TIMEOUT_S:.0f}s", timeout_s=GONE_TIMEOUT_S + 10)

    user.wait(lambda: machine not in [pool["name"] for pool in cluster.cloud.pools.list()], "the pool to go")
    user.wait(lambda: cluster.kubectl.run("get", "node", node.name).returncode != 0, f"node {node.name} to go")
    user.wait(lambda: not Path(f"/proc/{pid}").exists(), "the machine to go")
    user.wait(lambda: not any((hierarchy / group).exists() for hierarchy in cgroups.hierarchies()), "its groups to go")
    left = user.kubectl(
        "get", "deployments,services,pods,configmaps,machines", "-l", f"kaito.sh/workspace={NAME}", "-o", "name"
    )
    assert left == ""
    assert len(cluster.hub.run("ip", "-brief", "link").splitlines()) == len(before)


class Command:
    """`python -m hack.envtest up --nodes 1` in another terminal."""

    def __init__(self) -> None:
        before = folders()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hack.envtest", "up", "--nodes", "1"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.said = next((line for line in self.process.stdout if line.startswith("export KUBECONFIG=")), "")
        assert self.said, f"the cluster did not start; exit code {self.process.wait(60)}"
        (self.folder,) = folders() - before

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(60)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def command() -> Iterator[Command]:
    running = Command()
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGKILL)
    leftovers.sweep()


def test_printed_kubeconfig_works_and_ctrl_c_leaves_nothing(command: Command) -> None:
    kubeconfig = command.said.strip().removeprefix("export KUBECONFIG=")
    nodes = subprocess.run(
        [str(Path(sys.executable).with_name("kubectl")), f"--kubeconfig={kubeconfig}", "get", "nodes", "--no-headers"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert len(nodes.splitlines()) == 1
    assert " Ready " in nodes

    command.end(signal.SIGINT)

    assert command.process.returncode == 0
    assert not command.folder.exists()
    assert command.folder.name not in cgroups.names(leftovers.PREFIX)
    assert processes(command.folder.name) == []


def test_kill_9_ends_every_process_at_once_and_the_next_start_sweeps_the_rest(command: Command) -> None:
    assert processes(command.folder.name)

    command.end(signal.SIGKILL)

    wait_until(lambda: not processes(command.folder.name), 10.0, "no process to be left")
    assert command.folder.name not in Path("/proc/mounts").read_text()
    assert command.folder.exists()
    assert command.folder.name in leftovers.sweep()
    assert not command.folder.exists()
    assert command.folder.name not in cgroups.names(leftovers.PREFIX)
