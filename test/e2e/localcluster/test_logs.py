"""`kubectl logs` of pods whose containers are stood in for: what it prints is true of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.resources import PODS, Object
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from hack.localcluster.cluster import LocalCluster
from test.support.kubectl import Kubectl
from test.support.manifests import deployment
from test.support.processes import wait_until

pytestmark = pytest.mark.e2e


def the_pod(client: Client, app: str) -> str:
    def first() -> str:
        found = client.list(PODS, "default", label_selector=f"app={app}").items
        return found[0]["metadata"]["name"] if found else ""

    return str(wait_until(first, what=f"a pod of {app}"))


def restarts(pod: Object) -> int:
    return sum(status["restartCount"] for status in pod["status"].get("containerStatuses") or [])


def test_logs_tell_what_a_container_stands_for_and_since_when_it_serves(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("phi", ports=[{"containerPort": 5000}], command=["serve", "--model", "phi 2"]))
    kubectl("rollout", "status", "deployment/phi", "--timeout=30s")
    said = kubectl("logs", "deployment/phi")
    assert "it would run: serve --model 'phi 2'" in said
    assert said.splitlines()[-1] == "localcluster: ready on port 5000"
    stamp, _, text = kubectl("logs", "deployment/phi", "--tail=1", "--timestamps").partition(" ")
    assert (stamp[-1], text) == ("Z", "localcluster: ready on port 5000\n")


@pytest.mark.long
def test_what_logs_cannot_tell_is_refused_in_words(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("phi"))
    kubectl("rollout", "status", "deployment/phi", "--timeout=30s")
    assert "previous terminated container" in kubectl.run("logs", "deployment/phi", "--previous").stderr
    kubectl.apply(deployment("gone", image="does-not-exist:1"))
    pod = the_pod(client, "gone")
    wait_until(lambda: "pull image" in kubectl.run("logs", pod).stderr, what="the reason why there is no log")


def test_logs_of_a_crash_are_its_last_words(
    client: Client, cluster: LocalCluster, kubectl: Kubectl, eventually: Callable[..., Object]
) -> None:
    cluster.actors.pod_faults.add(PodFault(PodFaultKind.CRASH, pod="sick-*", message="CUDA error: no device"))
    kubectl.apply(deployment("sick", terminationMessagePolicy="FallbackToLogsOnError"))
    eventually(PODS, the_pod(client, "sick"), lambda p: restarts(p) > 0)
    *_, last_words, end = kubectl("logs", "deployment/sick", "--previous").splitlines()
    assert (last_words, end) == ("CUDA error: no device", "localcluster: ended with exit code 1 (Error)")


def test_a_log_that_is_followed_tells_the_crash_and_ends_with_the_container(
    client: Client, cluster: LocalCluster, kubectl: Kubectl
) -> None:
    cluster.actors.pod_faults.add(PodFault(PodFaultKind.CRASH, pod="brief-*", message="CUDA error: no device"))
    kubectl.apply(deployment("brief", terminationMessagePolicy="FallbackToLogsOnError"))
    pod = the_pod(client, "brief")

    def followed() -> str:
        done = kubectl.run("logs", pod, "--follow")
        return done.stdout if done.returncode == 0 else ""

    said = str(wait_until(followed, what="a container to follow"))
    assert said.splitlines()[-2:] == ["CUDA error: no device", "localcluster: ended with exit code 1 (Error)"]
