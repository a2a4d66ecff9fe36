"""`python -m hack.localcluster up` as a user runs it: what it prints, how it stops, and what it remembers."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from hack.localcluster.cloud import USER_POOL
from test.support.kubectl import Kubectl
from test.support.manifests import deployment
from test.support.processes import Process, wait_until

pytestmark = pytest.mark.e2e


class Command:
    """The running command with what it printed."""

    def __init__(self, tmp_path: Path, *flags: str) -> None:
        arguments = ["up", "--time-scale", "600", "--dir", str(tmp_path / "run"), *flags]
        self.process = Process.module("hack.localcluster", *arguments, log_dir=tmp_path)
        self.kubectl = Kubectl(tmp_path / "run" / "kubeconfig", tmp_path)

    def __enter__(self) -> Command:
        self.process.start()
        try:
            self.process.wait_for_output("^# ready", timeout_s=60)
        except BaseException:
            self.process.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.__exit__()

    def printed(self, name: str) -> str:
        return self.process.wait_for_output(rf"^# {name}\s+(\S+)$").group(1)

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        url = self.printed("admin endpoint") + path
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10) as reply:
            return json.loads(reply.read())

    def nodes(self) -> set[str]:
        return set(self.kubectl("get", "nodes", "-o", "name").split())

    def wait_for_canaries(self) -> set[str]:
        wait_until(lambda: len(self.nodes()) == 2, what="the canary nodes")
        return self.nodes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_prints_where_everything_is_and_stops_cleanly(tmp_path: Path, number: int) -> None:
    with Command(tmp_path) as command:
        assert command.printed("kubeconfig") == str(tmp_path / "run" / "kubeconfig")
        exported = dict(
            line.removeprefix("export ").split("=", 1)
            for line in command.process.output.splitlines()
            if line.startswith("export ")
        )
        assert exported["ARM_ENDPOINT"] == command.printed("cloud endpoint")
        assert exported["AZURE_CREDENTIAL"] == "none"
        assert {
            "KUBECONFIG",
            "ARM_SUBSCRIPTION_ID",
            "ARM_RESOURCE_GROUP",
            "AZURE_CLUSTER_NAME",
            "LOCATION",
        } <= exported.keys()
        assert "Kubernetes" not in command.kubectl.run("get", "nodes").stderr
        command.process.signal(number)
        assert command.process.wait_for_exit(20) == 0
        assert "Traceback" not in command.process.output


def test_state_is_kept_over_a_restart(tmp_path: Path) -> None:
    state = str(tmp_path / "state.json")
    with Command(tmp_path, "--state", state) as first:
        nodes = first.wait_for_canaries()
        first.kubectl.apply(deployment("web"))
        first.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        uid = first.kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.uid}")
        first.process.terminate()
    with Command(tmp_path, "--state", state) as second:
        assert second.kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.uid}") == uid
        assert second.nodes() == nodes
        second.kubectl("scale", "deployment/web", "--replicas=2")
        second.kubectl("rollout", "status", "deployment/web", "--timeout=30s")


def test_older_state_brings_the_older_world_back(tmp_path: Path) -> None:
    state, backup = tmp_path / "state.json", tmp_path / "backup.json"
    with Command(tmp_path, "--state", str(state)) as first:
        first.wait_for_canaries()
        first.kubectl("create", "configmap", "old")
        first.admin("POST", "/save")
        shutil.copy(state, backup)
        first.kubectl("create", "configmap", "new")
        first.process.terminate()
    shutil.copy(backup, state)
    with Command(tmp_path, "--state", str(state)) as second:
        names = second.kubectl("get", "configmaps", "-o", "name").split()
        assert "configmap/old" in names
        assert "configmap/new" not in names
        wait_until(lambda: len(second.nodes()) == 2, what="the canary nodes")


def test_state_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text("{{{")
    process = Process.module(
        "hack.localcluster", "up", "--dir", str(tmp_path / "run"), "--state", str(state), log_dir=tmp_path
    )
    with process:
        assert process.wait_for_exit(30) == 1
        assert str(state) in process.output
        assert "Traceback" not in process.output


@pytest.mark.parametrize("flag", ["--port", "--cloud-port", "--admin-port"])
def test_port_that_is_taken_is_named_with_its_flag(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = Process.module(
            "hack.localcluster", "up", "--dir", str(tmp_path / "run"), flag, port, log_dir=tmp_path
        )
        with process:
            assert process.wait_for_exit(60) == 1
            assert f"{flag} {port}" in process.output
            assert "Traceback" not in process.output


def test_other_processes_inject_faults_over_the_admin_endpoint(tmp_path: Path) -> None:
    with Command(tmp_path) as command:
        command.wait_for_canaries()
        rule = {
            "fault": {"kind": "status", "code": 403, "reason": "Forbidden", "message": "not today"},
            "resource": "configmaps",
            "verb": "create",
        }
        [rule_id] = command.admin("POST", "/faults", rule)["ids"]
        refused = command.kubectl.run("create", "configmap", "c")
        assert "not today" in refused.stderr
        assert command.admin("GET", "/faults")[0]["fired"] == 1
        command.admin("DELETE", f"/faults/{rule_id}")
        command.kubectl("create", "configmap", "c")


def test_admin_endpoint_steers_the_cloud_and_the_nodes(tmp_path: Path) -> None:
    with Command(tmp_path) as command:
        command.wait_for_canaries()
        market = command.admin("PUT", "/cloud/market", {"regional": 8, "stock": {"Standard_NC6s_v3": "no_capacity"}})
        assert market == {"regional": 8, "families": {}, "spot": None, "stock": {"standard_nc6s_v3": "no_capacity"}}
        node = next(name for name in command.admin("GET", "/nodes") if USER_POOL in name)
        command.admin("PUT", f"/nodes/{node}", {"health": "not_ready"})
        wait_until(lambda: "NotReady" in command.kubectl("get", "node", node), what="a node that is not ready")
        command.admin("DELETE", f"/cloud/pools/{USER_POOL}")
        wait_until(lambda: f"node/{node}" not in command.nodes(), what="the node of the removed pool gone")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "named"),
    [
        ("POST", "/faults", {"fault": {"kind": "explode"}}, 400, "explode"),
        ("PUT", "/cloud/market", {"stock": {"x": "plenty"}}, 400, "plenty"),
        ("POST", "/cloud/scripts", {"outcome": "fail"}, 400, "needs an `error` name"),
        ("PUT", "/nodes/nowhere", {"health": "ready"}, 404, "nowhere"),
        ("DELETE", "/cloud/pools/nowhere", None, 404, "nowhere"),
        ("GET", "/nonsense", None, 404, "GET / lists them"),
    ],
)
def test_admin_endpoint_names_what_is_wrong(
    shared_command: Command, method: str, path: str, body: Any, status: int, named: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        shared_command.admin(method, path, body)
    with refused.value as reply:
        assert reply.code == status
        assert named in reply.read().decode()


@pytest.fixture(scope="module")
def shared_command(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Command(tmp_path_factory.mktemp("shared")) as command:
        yield command
