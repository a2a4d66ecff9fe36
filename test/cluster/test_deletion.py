"""What is left after `kubectl delete`, after Ctrl-C and after `kill -9`: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.envtest.nodes import cgroups, leftovers, network
from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.listing import left, listing
from hack.render.kustomize import ROOT
from test.cluster.user import GONE_TIMEOUT_S, User
from test.support.processes import wait_until

NAME = "workspace-phi-3-mini"
LISTENS_TO_CTRL_C = ("env", "--default-signal=INT")
"""Whatever shell these tests run from: background jobs of a script ignore SIGINT, and so do their children."""
BUILD = """
from pathlib import Path
from hack.envtest.nodes.images import Images, Recipe
file = 'FROM scratch\\nADD busybox /busybox\\nRUN ["/busybox", "sleep", "{seconds}"]\\n'
Images().layout(Recipe("endless", file, {{"busybox": Path("/bin/busybox")}}))
"""
ENDLESS_S = 271828
"""Also what the step's process is found by."""


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


def links(cluster: NodeCluster) -> list[str]:
    """Names of the hub's interfaces."""
    lines = cluster.hub.run("ip", "-brief", "link").splitlines()
    return [line.split()[0].partition("@")[0] for line in lines]


def test_deleted_workspace_leaves_no_pool_node_container_interface_or_control_group(
    cluster: NodeCluster, quickstart: User
) -> None:
    user = quickstart
    (machine,) = user.machines(NAME)
    (pod,) = user.pods(NAME)
    node = cluster.vms.node(pod["spec"]["nodeName"])
    pid, group, cable = node.sandbox.pid, node.cgroup, network.cable(node.place)
    assert cable in links(cluster)
    assert len(node.containers()) >= 2, "the model and its sandbox"
    assert any((hierarchy / group).exists() for hierarchy in cgroups.hierarchies())

    user.kubectl("delete", "workspace", NAME, f"--timeout={GONE_TIMEOUT_S:.0f}s", timeout_s=GONE_TIMEOUT_S + 10)

    user.wait(lambda: machine not in [pool["name"] for pool in cluster.cloud.pools.list()], "the pool to go")
    user.wait(lambda: cluster.kubectl.run("get", "node", node.name).returncode != 0, f"node {node.name} to go")
    user.wait(lambda: not Path(f"/proc/{pid}").exists(), "the machine to go")
    user.wait(lambda: not any((hierarchy / group).exists() for hierarchy in cgroups.hierarchies()), "its groups to go")
    left = user.kubectl("get", "deployments,services,pods,configmaps", "-l", f"kaito.sh/workspace={NAME}", "-o", "name")
    assert left == ""
    assert user.machines(NAME) == []
    assert cable not in links(cluster)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_image_build_leaves_no_process_no_mount_and_no_folder(tmp_path: Path, how: signal.Signals) -> None:
    before, step = listing(), f"/busybox sleep {ENDLESS_S}"
    build = subprocess.Popen(
        [*LISTENS_TO_CTRL_C, sys.executable, "-c", BUILD.format(seconds=ENDLESS_S)],
        cwd=ROOT,
        env={**os.environ, "ENVTEST_CACHE": str(tmp_path)},
        start_new_session=True,
    )
    try:
        wait_until(lambda: any(line.startswith(step) for line in processes(step)), 60.0, "the build's last step")
        assert left(before, listing())
    finally:
        build.send_signal(how)  # to the one process: those that it started must end without being told
        build.wait(20)

    wait_until(lambda: not processes(step), 10.0, "no process to be left")
    leftovers.sweep()
    wait_until(lambda: not left(before, listing()), 10.0, "nothing to be left")


class Command:
    """`python -m hack.envtest up --nodes 1` in another terminal."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [*LISTENS_TO_CTRL_C, sys.executable, "-m", "hack.envtest", "up", "--nodes", "1"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout
        self.said = next((line for line in self.process.stdout if line.startswith("export KUBECONFIG=")), "")
        assert self.said, f"the cluster did not start; exit code {self.process.wait(60)}"
        self.kubeconfig = Path(self.said.strip().removeprefix("export KUBECONFIG="))
        self.folder = self.kubeconfig.parent
        assert self.folder.name.startswith(leftovers.PREFIX)

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
    nodes = subprocess.run(
        [
            str(Path(sys.executable).with_name("kubectl")),
            f"--kubeconfig={command.kubeconfig}",
            "get",
            "nodes",
            "--no-headers",
        ],
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
