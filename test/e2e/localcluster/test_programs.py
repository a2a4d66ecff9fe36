"""Containers of listed images run on this machine, between played ones: started, probed, logged, ended and restarted as by a kubelet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import NotFound
from controller_runtime.resources import DEPLOYMENTS, JOBS, NODES, PODS, Object, Resource
from hack.localcluster.cluster import LocalCluster
from hack.localcluster.programs.images import ProgramsError
from test.support.kubectl import Kubectl, kubectl_binary
from test.support.processes import wait_until

pytestmark = pytest.mark.e2e

IMAGE = "registry.example.com/python:1"
SERVER = """\
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(open("/mnt/config/greeting").read().encode())
    do_POST = do_GET
print("listening", flush=True)
http.server.HTTPServer((os.environ["POD_IP"], 5000), Handler).serve_forever()
"""
PROBE = {"httpGet": {"path": "/", "port": 5000}, "periodSeconds": 1}
CONFIG = {"name": "config", "configMap": {"name": "greeting"}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    folder = tmp_path_factory.mktemp("cluster")
    images = [{"image": IMAGE, "path": [str(Path(sys.executable).parent)]}]
    (folder / "programs.json").write_text(json.dumps(images))
    with LocalCluster(time_scale=600.0, directory=folder, programs=folder / "programs.json") as running:
        admin = running.client()
        wait_until(lambda: len(admin.list(NODES).items) == 2, what="the canary pools' nodes")
        yield running


@pytest.fixture(scope="module")
def kubectl(cluster: LocalCluster, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    running = Kubectl(cluster.kubeconfig, tmp_path_factory.mktemp("home"))
    running("create", "configmap", "greeting", "--from-literal=greeting=hello from /mnt/config")
    return running


@pytest.fixture
def client(cluster: LocalCluster) -> Client:
    return cluster.client()


def one_pod(client: Client, label: str, holds: Callable[[Object], object], what: str) -> Object:
    def look() -> Object | None:
        return next((pod for pod in client.list(PODS, "default", label_selector=label).items if holds(pod)), None)

    found = wait_until(look, 60.0, what)
    assert found is not None
    return found


def statuses(pod: Object) -> list[Object]:
    return list((pod.get("status") or {}).get("containerStatuses") or [])


def deployment(name: str, program: str) -> Object:
    container = {
        "name": name,
        "image": IMAGE,
        "command": ["python3", "-c", program.replace("$", "$$")],
        "ports": [{"containerPort": 5000}],
        "readinessProbe": PROBE,
        "volumeMounts": [{"name": "config", "mountPath": "/mnt/config"}],
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container], "volumes": [CONFIG]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job(name: str, program: str) -> Object:
    container = {
        "name": name,
        "image": IMAGE,
        "command": ["python3", "-c", program],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"backoffLimit": 0, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def gone(resource: Resource, client: Client, name: str) -> bool:
    try:
        client.get(resource, name, "default")
    except NotFound:
        return True
    return False


def processes_below(folder: Path) -> list[int]:
    """Those whose working folder is in the cluster's."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder) in os.readlink(entry / "cwd"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_a_server_is_ready_when_it_answers_and_ends_with_its_pod(
    client: Client, cluster: LocalCluster, kubectl: Kubectl
) -> None:
    kubectl.apply(deployment("greeter", SERVER))
    pod = one_pod(client, "app=greeter", lambda p: all(s["ready"] for s in statuses(p)) and statuses(p), "a ready pod")
    name = pod["metadata"]["name"]

    answer = kubectl("get", "--raw", f"/api/v1/namespaces/default/pods/{name}:5000/proxy/")
    assert answer.startswith("hello from ")
    assert answer.endswith("/mnt/config"), "text of a ConfigMap names the mount as it is here"
    assert kubectl("logs", name).splitlines()[0] == "listening"
    assert pod["status"]["podIP"].startswith("127.244.")

    client.delete(DEPLOYMENTS, "greeter", "default", propagation="Background")
    wait_until(lambda: gone(PODS, client, name), 30, "the pod to be gone")
    wait_until(lambda: not processes_below(cluster.directory), 10, "its process to be gone")
    wait_until(lambda: not list((cluster.directory / "programs" / "pods").iterdir()), 10, "its volumes to be gone")


def test_an_end_has_the_programs_own_code_and_last_words(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(job("sick", "import sys; print('first'); sys.exit('no such card')"))
    pod = one_pod(client, "job-name=sick", lambda p: p["status"].get("phase") == "Failed", "a failed pod")

    ended = statuses(pod)[0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (1, "Error")
    assert "no such card" in ended["message"]
    assert set(kubectl("logs", pod["metadata"]["name"]).splitlines()) == {"first", "no such card"}
    client.delete(JOBS, "sick", "default", propagation="Background")


def test_a_crash_is_restarted_and_its_log_is_the_previous_one(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("flapping", "print('up', flush=True); raise SystemExit(3)"))
    pod = one_pod(
        client, "app=flapping", lambda p: any(s["restartCount"] > 1 for s in statuses(p)), "a pod that was restarted"
    )
    assert statuses(pod)[0]["lastState"]["terminated"]["exitCode"] == 3
    assert kubectl("logs", pod["metadata"]["name"], "--previous") == "up\n"
    client.delete(DEPLOYMENTS, "flapping", "default", propagation="Background")


def test_programs_are_not_kept_in_a_state_file(tmp_path: Path) -> None:
    with pytest.raises(ProgramsError, match="--programs and --state"):
        LocalCluster(programs=tmp_path / "programs.json", state_file=tmp_path / "state.json")


PATIENT = """\
import signal, sys
def end(*_):
    print("last words", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("first words", flush=True)
print("second words", flush=True)
while True:
    signal.pause()
"""


def test_the_log_of_a_program_is_followed_while_it_runs_and_ends_with_it(client: Client, kubectl: Kubectl) -> None:
    container = {"name": "c", "image": IMAGE, "command": ["python3", "-c", PATIENT]}
    spec = {"containers": [container], "restartPolicy": "Never"}
    kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "patient"}, "spec": spec})
    kubectl("wait", "pod/patient", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")
    wait_until(lambda: "second words" in kubectl("logs", "patient"), what="what it says at first")
    command = [kubectl_binary(), "logs", "-f", "patient", "--tail=1", "--timestamps"]
    with subprocess.Popen(command, env=kubectl.environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        stamp, _, text = following.stdout.readline().partition(" ")
        assert (text, following.poll()) == ("second words\n", None)
        assert datetime.fromisoformat(stamp) <= datetime.now(UTC)
        kubectl("delete", "pod", "patient", "--wait=false")
        assert [line.partition(" ")[2] for line in following.stdout] == ["last words\n"]
        assert following.wait(timeout=30) == 0
