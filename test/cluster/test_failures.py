"""What only a kubelet can show: pulls that fail, crashes with last words, memory limits, lost readiness, full disks, drains, silence.

Nearly all on one GPU node that somebody brought, so that nothing waits for a machine.
"""

from __future__ import annotations

from hack.envtest.nodes.cluster import NodeCluster
from hack.envtest.nodes.node import Node
from hack.envtest.nodes.registry import OPEN
from test.cluster.brought import NAME, own
from test.cluster.user import User

ORDERED = "workspace-phi-3-mini"


def test_template_of_the_user_serves_on_a_brought_node_without_a_machine(user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node))
    user.wait_ready(NAME)

    (pod,) = user.pods(NAME)
    assert pod["spec"]["nodeName"] == gpu_node.name
    assert user.machines(NAME) == []


def test_image_that_cannot_be_pulled_is_named(user: User, gpu_node: Node) -> None:
    image = f"{OPEN}/no-such-model:1"
    user.apply(own(gpu_node, image=image))

    assert image in user.wait_reason(NAME, "ImagePullFailed")


def test_last_words_of_a_crash_loop_are_repeated(user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node, "raise SystemExit('no weights below /models')"))

    message = user.wait_reason(NAME, "ContainerCrashing")

    assert "no weights below /models" in message
    assert "exit code 1" in message or "with 1" in message or "code 1" in message, message


def test_real_memory_limit_is_told_as_such(user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node, "x = bytearray(300 << 20); print(len(x))", limits={"memory": "64Mi"}))

    user.wait_reason(NAME, "OutOfMemory")


def test_lost_readiness_is_told_and_regained(user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node))
    user.wait_ready(NAME)
    (pod,) = user.pods(NAME)
    inside = ["exec", pod["metadata"]["name"], "--", "python3", "-c"]

    user.kubectl(*inside, "open('/tmp/unhealthy', 'w').close()")
    user.wait(lambda: user.condition(NAME).get("status") == "False", "readiness to be lost")
    user.kubectl(*inside, "import os; os.remove('/tmp/unhealthy')")

    user.wait_ready(NAME)
    assert [p["metadata"]["uid"] for p in user.pods(NAME)] == [pod["metadata"]["uid"]]


def test_drained_node_lets_the_pod_go_and_takes_it_back(cluster: NodeCluster, user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node))
    user.wait_ready(NAME)
    (before,) = user.pods(NAME)

    cluster.kubectl(
        "drain", gpu_node.name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=90s", timeout_s=100
    )
    try:
        user.wait(lambda: user.condition(NAME).get("status") == "False", "the drain to be told")
    finally:
        cluster.kubectl("uncordon", gpu_node.name)

    user.wait_ready(NAME)
    (after,) = user.pods(NAME)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


def test_full_disk_evicts_the_pod_and_the_workspace_recovers(cluster: NodeCluster, user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node))
    user.wait_ready(NAME)
    gpu_node.sandbox.run(
        "sh", "-c", "fallocate -l $(($(df --output=avail -B1 /var/lib | tail -1) - 50000000)) /var/lib/filler"
    )
    try:
        user.wait(
            lambda: any(
                event["reason"] == "Evicted" for event in user.objects("events")
            ),  # the pod may end by itself first
            "the pod to be evicted",
        )
        user.wait(lambda: user.condition(NAME).get("status") == "False", "the eviction to be told")
    finally:
        gpu_node.sandbox.run("rm", "/var/lib/filler")

    user.wait_ready(NAME)


def test_deleted_node_of_a_running_workspace_is_replaced(cluster: NodeCluster, quickstart: User) -> None:
    user = quickstart
    (pod,) = user.pods(ORDERED)
    (machine,) = user.machines(ORDERED)

    cluster.kubectl("delete", "node", pod["spec"]["nodeName"], "--wait=false")

    user.wait(lambda: user.condition(ORDERED).get("status") == "False", "the missing node to be told")
    user.wait_ready(ORDERED)
    (other,) = user.machines(ORDERED)
    assert other != machine
    (node,) = {each["spec"]["nodeName"] for each in user.pods(ORDERED)}
    assert cluster.vms.node(node).vm.pool == other
    user.wait(lambda: machine not in [pool["name"] for pool in cluster.cloud.pools.list()], "the old pool to go")


def test_silent_kubelet_is_told_after_the_grace_and_comes_back(user: User, gpu_node: Node) -> None:
    user.apply(own(gpu_node))
    user.wait_ready(NAME)
    (pod,) = user.pods(NAME)
    gpu_node.stop_kubelet()
    try:
        user.wait(lambda: user.condition(NAME).get("status") == "False", "the silence to be told")
    finally:
        gpu_node.start_kubelet()

    user.wait_ready(NAME)
    assert [p["metadata"]["uid"] for p in user.pods(NAME)] == [pod["metadata"]["uid"]]
