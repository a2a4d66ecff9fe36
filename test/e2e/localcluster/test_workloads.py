"""Workload controllers, garbage collection and kubelets, seen with kubectl and a client: what a user of a cluster relies on."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import NotFound
from controller_runtime.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    JOBS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Object,
    Resource,
)
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from hack.localcluster.cluster import LocalCluster
from test.support.kubectl import Kubectl
from test.support.manifests import deployment, job, pod, stateful_set
from test.support.processes import wait_until

pytestmark = pytest.mark.e2e
Eventually = Callable[..., Object]


def pods_of(client: Client, app: str) -> list[Object]:
    return client.list(PODS, "default", label_selector=f"app={app}").items


def state_of(obj: Object, index: int = 0) -> Object:
    statuses = obj["status"].get("containerStatuses") or [{}]
    return dict(statuses[index].get("state") or {})


def is_ready(obj: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in obj["status"].get("conditions") or [])


def gone(client: Client, resource: Resource, name: str) -> bool:
    try:
        client.get(resource, name, "default")
    except NotFound:
        return True
    return False


# ---- Deployments


def test_new_template_rolls_out_without_falling_below_the_minimum(
    client: Client, kubectl: Kubectl, cluster: LocalCluster
) -> None:
    kubectl.apply(deployment("web", replicas=4))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    before = len(cluster.apiserver.events_log)
    kubectl("set", "image", "deployment/web", "main=app:2")
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    wait_until(lambda: len(pods_of(client, "web")) == 4, what="the old pods gone")
    assert {p["spec"]["containers"][0]["image"] for p in pods_of(client, "web")} == {"app:2"}
    counts = [
        change.entry.obj["status"].get("availableReplicas", 0)
        for change in cluster.apiserver.events_log[before:]
        if change.resource == ("apps", "deployments") and change.key[1] == "web"
    ]
    assert min(counts) >= 3
    assert len(client.list(REPLICA_SETS, "default", label_selector="app=web").items) == 2


def test_scaling_adds_and_removes_pods(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", replicas=1))
    kubectl("scale", "deployment/web", "--replicas=3")
    wait_until(lambda: sum(map(is_ready, pods_of(client, "web"))) == 3, what="three ready pods")
    kubectl("scale", "deployment/web", "--replicas=1")
    wait_until(lambda: len(pods_of(client, "web")) == 1, what="one pod")


def test_rollout_that_cannot_progress_says_so_and_keeps_the_old_pods(
    client: Client, kubectl: Kubectl, eventually: Eventually
) -> None:
    kubectl.apply(deployment("web", replicas=2))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("set", "image", "deployment/web", "main=does-not-exist:1")
    stuck = eventually(
        DEPLOYMENTS,
        "web",
        lambda d: any(c["reason"] == "ProgressDeadlineExceeded" for c in d["status"]["conditions"]),
    )
    assert stuck["status"]["availableReplicas"] >= 2
    assert kubectl.run("rollout", "status", "deployment/web", "--timeout=5s").returncode != 0


def test_deleted_pod_is_replaced(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web"))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    first = pods_of(client, "web")[0]
    kubectl("delete", "pod", first["metadata"]["name"])
    wait_until(lambda: [p for p in pods_of(client, "web") if is_ready(p)], what="a ready replacement")
    assert first["metadata"]["uid"] not in {p["metadata"]["uid"] for p in pods_of(client, "web")}


# ---- StatefulSets


def test_ordered_set_starts_one_after_another_with_stable_names(
    client: Client, kubectl: Kubectl, cluster: LocalCluster
) -> None:
    before = len(cluster.apiserver.events_log)
    kubectl.apply(stateful_set("llama", replicas=3))
    kubectl("rollout", "status", "statefulset/llama", "--timeout=30s")
    names = [
        change.key[1]
        for change in cluster.apiserver.events_log[before:]
        if change.resource == ("", "pods") and change.event == "ADDED"
    ]
    assert [name for name in names if name.startswith("llama-")][:3] == ["llama-0", "llama-1", "llama-2"]
    second = client.get(PODS, "llama-1", "default")
    assert (second["spec"]["hostname"], second["spec"]["subdomain"]) == ("llama-1", "llama")
    assert second["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"
    assert second["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "llama-1"


def test_parallel_set_does_not_wait_for_the_first_pod(client: Client, cluster: LocalCluster, kubectl: Kubectl) -> None:
    cluster.actors.pod_faults.add(PodFault(PodFaultKind.NEVER_READY, pod="par-0"))
    kubectl.apply(stateful_set("par", replicas=3, policy="Parallel"))
    wait_until(lambda: sum(map(is_ready, pods_of(client, "par"))) == 2, what="the others ready")
    assert not is_ready(client.get(PODS, "par-0", "default"))


def test_new_template_replaces_the_pods_of_a_set_from_the_last_to_the_first(
    client: Client, kubectl: Kubectl, cluster: LocalCluster
) -> None:
    kubectl.apply(stateful_set("llama", replicas=2))
    kubectl("rollout", "status", "statefulset/llama", "--timeout=30s")
    before = len(cluster.apiserver.events_log)
    kubectl("set", "image", "statefulset/llama", "main=app:2")
    kubectl("rollout", "status", "statefulset/llama", "--timeout=30s")
    deleted = [
        c.key[1] for c in cluster.apiserver.events_log[before:] if c.resource == ("", "pods") and c.event == "DELETED"
    ]
    assert deleted == ["llama-1", "llama-0"]


# ---- Jobs


def test_job_runs_its_init_containers_in_order_and_completes(client: Client, kubectl: Kubectl) -> None:
    stages = [{"name": name, "image": f"{name}:1"} for name in ("download", "train")]
    kubectl.apply(job("tune", initContainers=stages))
    kubectl("wait", "job/tune", "--for=condition=Complete", "--timeout=30s")
    done = pods_of(client, "tune")[0]
    assert done["status"]["phase"] == "Succeeded"
    assert [s["state"]["terminated"]["exitCode"] for s in done["status"]["initContainerStatuses"]] == [0, 0]
    assert client.get(JOBS, "tune", "default")["status"]["succeeded"] == 1


def test_failing_job_is_retried_up_to_its_backoff_limit(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(job("tune", annotations={"localcluster/fail": "exit=3"}, job_spec={"backoffLimit": 2}))
    kubectl("wait", "job/tune", "--for=condition=Failed", "--timeout=30s")
    failed = client.get(JOBS, "tune", "default")
    assert failed["status"]["failed"] == 3
    assert failed["status"]["conditions"][-1]["reason"] == "BackoffLimitExceeded"
    assert state_of(pods_of(client, "tune")[0])["terminated"]["exitCode"] == 3


def test_failure_policy_ends_a_job_at_the_first_fatal_exit_code(client: Client, kubectl: Kubectl) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    kubectl.apply(
        job("tune", annotations={"localcluster/fail": "exit=42"}, job_spec={"podFailurePolicy": {"rules": [rule]}})
    )
    kubectl("wait", "job/tune", "--for=condition=Failed", "--timeout=30s")
    assert client.get(JOBS, "tune", "default")["status"]["conditions"][-1]["reason"] == "PodFailurePolicy"
    assert len(pods_of(client, "tune")) == 1


def test_job_that_runs_too_long_is_stopped(client: Client, kubectl: Kubectl, cluster: LocalCluster) -> None:
    cluster.actors.pod_faults.add(PodFault(PodFaultKind.PULL, pod="tune-*"))
    kubectl.apply(job("tune", job_spec={"activeDeadlineSeconds": 60}))
    kubectl("wait", "job/tune", "--for=condition=Failed", "--timeout=30s")
    assert client.get(JOBS, "tune", "default")["status"]["conditions"][-1]["reason"] == "DeadlineExceeded"
    wait_until(lambda: not pods_of(client, "tune"), what="its pods gone")


def test_finished_job_goes_after_its_time_to_live_with_its_pods(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(job("tune", job_spec={"ttlSecondsAfterFinished": 60}))
    wait_until(lambda: pods_of(client, "tune"), what="a pod")
    wait_until(lambda: gone(client, JOBS, "tune") and not pods_of(client, "tune"), what="job and pods gone")


# ---- kubelets


@pytest.mark.parametrize(
    ("wish", "reason", "last"),
    [
        ("pull", "ImagePullBackOff", None),
        ("crash", "CrashLoopBackOff", (1, "Error")),
        ("oom", "CrashLoopBackOff", (137, "OOMKilled")),
    ],
)
def test_pod_that_is_made_to_fail_shows_the_reason_a_kubelet_gives(
    client: Client, kubectl: Kubectl, eventually: Eventually, wish: str, reason: str, last: tuple[int, str] | None
) -> None:
    kubectl.apply(pod("sick", annotations={"localcluster/fail": wish}))
    sick = eventually(PODS, "sick", lambda p: state_of(p).get("waiting", {}).get("reason") == reason)
    assert not is_ready(sick)
    wait_until(lambda: reason in kubectl("get", "pod", "sick"), what=f"{reason} in kubectl's table")
    if last is not None:
        ended = sick["status"]["containerStatuses"][0]["lastState"]["terminated"]
        assert (ended["exitCode"], ended["reason"]) == last


def test_crash_that_is_over_lets_the_pod_get_ready(
    client: Client, kubectl: Kubectl, eventually: Eventually, cluster: LocalCluster
) -> None:
    cluster.actors.pod_faults.add(
        PodFault(PodFaultKind.CRASH, pod="flaky", message="CUDA error: out of memory", times=1)
    )
    kubectl.apply(pod("flaky", terminationMessagePolicy="FallbackToLogsOnError"))
    ready = eventually(
        PODS, "flaky", lambda p: is_ready(p) and p["status"]["containerStatuses"][0]["restartCount"] == 1
    )
    status = ready["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["message"] == "CUDA error: out of memory"


def test_readiness_waits_for_the_initial_delay(
    client: Client, kubectl: Kubectl, eventually: Eventually, cluster: LocalCluster
) -> None:
    probe = {"httpGet": {"path": "/healthz", "port": 5000}, "initialDelaySeconds": 600}
    kubectl.apply(pod("slow", readinessProbe=probe))
    running = eventually(PODS, "slow", lambda p: p["status"]["phase"] == "Running")
    assert not is_ready(running)
    eventually(PODS, "slow", is_ready)


def test_sidecar_runs_before_and_beside_the_main_container(
    client: Client, kubectl: Kubectl, eventually: Eventually
) -> None:
    sidecar = {"name": "sidecar", "image": "sidecar:1", "restartPolicy": "Always"}
    kubectl.apply(pod("pair", initContainers=[sidecar]))
    ready = eventually(PODS, "pair", is_ready)
    assert "running" in ready["status"]["initContainerStatuses"][0]["state"]
    assert "running" in state_of(ready)


def test_deleted_pod_is_given_its_grace_and_then_removed(
    client: Client, kubectl: Kubectl, eventually: Eventually, cluster: LocalCluster
) -> None:
    kubectl.apply(pod("p"))
    eventually(PODS, "p", is_ready)
    before = len(cluster.apiserver.events_log)
    client.delete(PODS, "p", "default")
    wait_until(lambda: gone(client, PODS, "p"), what="the pod gone")
    seen = [c for c in cluster.apiserver.events_log[before:] if c.resource == ("", "pods") and c.key[1] == "p"]
    assert seen[0].event == "MODIFIED"
    assert seen[0].entry.obj["metadata"]["deletionGracePeriodSeconds"] == 30
    assert seen[-1].event == "DELETED"


def test_pod_that_no_node_fits_stays_pending_with_all_reasons(
    client: Client, kubectl: Kubectl, eventually: Eventually
) -> None:
    kubectl.apply(pod("lost", nodeSelector={"agentpool": "nowhere"}))
    lost = eventually(PODS, "lost", lambda p: p["status"].get("conditions"))
    message = lost["status"]["conditions"][0]["message"]
    assert re.match(r"0/\d+ nodes are available: .*\d+ node\(s\) didn't match Pod's node affinity/selector", message)


def test_pod_pinned_by_field_to_one_node_runs_there(client: Client, kubectl: Kubectl, eventually: Eventually) -> None:
    names = [node["metadata"]["name"] for node in client.list(NODES).items]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [names[-1]]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    kubectl.apply(pod("pinned", affinity=affinity))
    assert eventually(PODS, "pinned", is_ready)["spec"]["nodeName"] == names[-1]


# ---- nodes


def test_unreachable_node_makes_its_pods_unready_and_comes_back(
    client: Client, kubectl: Kubectl, eventually: Eventually, cluster: LocalCluster
) -> None:
    kubectl.apply(pod("p"))
    node = eventually(PODS, "p", is_ready)["spec"]["nodeName"]
    cluster.actors.fleet.set_health(node, "unreachable")
    try:
        eventually(NODES, node, lambda n: not is_ready(n))
        eventually(PODS, "p", lambda p: not is_ready(p))
        assert "NotReady" in kubectl("get", "node", node)
    finally:
        cluster.actors.fleet.set_health(node, "ready")
    eventually(NODES, node, is_ready)


# ---- garbage collection


def test_background_deletion_takes_dependents_along(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(deployment("web", replicas=2))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("delete", "deployment", "web")
    wait_until(lambda: not pods_of(client, "web"), what="the pods gone")
    assert client.list(REPLICA_SETS, "default", label_selector="app=web").items == []


def test_foreground_deletion_keeps_the_owner_until_the_dependents_are_gone(
    client: Client, kubectl: Kubectl, cluster: LocalCluster
) -> None:
    kubectl.apply(deployment("web"))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    kubectl("delete", "deployment", "web", "--cascade=foreground")
    order = [
        change.resource[1]
        for change in cluster.apiserver.events_log
        if change.event == "DELETED" and (change.key[1] == "web" or change.key[1].startswith("web-"))
    ]
    assert order[-3:] == ["pods", "replicasets", "deployments"]


def test_orphaned_dependents_stay(client: Client, kubectl: Kubectl) -> None:
    kubectl.apply(stateful_set("llama"))
    kubectl("rollout", "status", "statefulset/llama", "--timeout=30s")
    kubectl("delete", "statefulset", "llama", "--cascade=orphan")
    wait_until(lambda: gone(client, STATEFUL_SETS, "llama"), what="the set gone")
    assert "ownerReferences" not in client.get(PODS, "llama-0", "default")["metadata"]


def test_object_whose_owner_never_existed_is_collected(client: Client) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "00000000-dead-beef-0000-000000000000"}
    metadata = {"name": "orphan", "namespace": "default", "ownerReferences": [owner]}
    client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    wait_until(lambda: gone(client, CONFIG_MAPS, "orphan"), what="the orphan collected")


def test_object_is_kept_while_one_of_its_owners_lives(client: Client) -> None:
    first = client.create(CONFIG_MAPS, {"metadata": {"name": "first", "namespace": "default"}})
    second = client.create(CONFIG_MAPS, {"metadata": {"name": "second", "namespace": "default"}})
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
        for o in (first, second)
    ]
    client.create(CONFIG_MAPS, {"metadata": {"name": "child", "namespace": "default", "ownerReferences": owners}})
    client.delete(CONFIG_MAPS, "first", "default")
    wait_until(
        lambda: len(client.get(CONFIG_MAPS, "child", "default")["metadata"]["ownerReferences"]) == 1,
        what="one owner left",
    )
    client.delete(CONFIG_MAPS, "second", "default")
    wait_until(lambda: gone(client, CONFIG_MAPS, "child"), what="the child collected")


# ---- Volumes


def test_pod_whose_secret_is_missing_waits_says_so_and_starts_once_it_is_there(
    client: Client, kubectl: Kubectl, cluster: LocalCluster
) -> None:
    asked = job("pusher")
    asked["spec"]["template"]["spec"]["volumes"] = [{"name": "docker-config", "secret": {"secretName": "push"}}]
    kubectl.apply(asked)

    wait_until(lambda: "FailedMount" in kubectl("get", "events"), 20.0, "the kubelet's complaint")
    assert 'MountVolume.SetUp failed for volume "docker-config" : secret "push" not found' in kubectl("get", "events")
    assert [one["status"]["phase"] for one in pods_of(client, "pusher")] == ["Pending"]

    kubectl("create", "secret", "generic", "push", "--from-literal=a=b")
    wait_until(lambda: client.get(JOBS, "pusher", "default")["status"].get("succeeded") == 1, 20.0, "the Job's success")
