"""Why pods do not run, in the words of those who know, with the node or the object to look at."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.workspace.conditions.pod_diagnosis import last_failure, pods_cause, workload_cause
from test.support.snapshots import made_node, nodes, pod, running


def test_trouble_is_shown_before_waiting_and_leaving_pods_are_silent() -> None:
    starting = pod("a", {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}})
    crashing = pod("b", {"name": "c", "state": {"terminated": {"exitCode": 2, "message": "bad flag"}}})
    leaving = deepcopy(crashing)
    leaving["metadata"] |= {"name": "z", "deletionTimestamp": "2026-01-02T03:04:05Z"}

    cause = pods_cause([starting, crashing])

    assert cause is not None
    assert cause.reason.name == "ContainerCrashing"
    assert "exit code 2, last words: bad flag" in cause.message
    assert pods_cause([leaving]) is None
    assert "bad flag" in last_failure([crashing])


def test_command_shows_the_log_of_the_run_that_ended() -> None:
    """kubectl has it with --previous once the kubelet waits to start the next run, and refuses that for the pod of a Job."""
    ended = {"terminated": {"exitCode": 2}}
    of_job = pods_cause([pod("a", {"name": "c", "state": ended})])
    restarting = pods_cause(
        [pod("b", {"name": "c", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended})]
    )

    assert of_job is not None
    assert "(kubectl logs -n default a -c c)" in of_job.message
    assert restarting is not None
    assert "(kubectl logs --previous -n default b -c c)" in restarting.message


def pinned_pod(**status: Any) -> Object:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-0"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    spec = {"affinity": affinity, "imagePullSecrets": [{"name": "acr"}]}
    return {"metadata": {"name": "phi-1", "namespace": "default"}, "spec": spec, "status": status}


UNSCHEDULED = (
    "0/26 nodes are available: 1 node(s) were unschedulable, 25 node(s) didn't match Pod's node affinity/selector. "
    "preemption: 0/26 nodes are available: 26 Preemption is not helpful for scheduling."
)


def test_a_pod_that_finds_no_room_names_its_node_and_the_cure_and_leaves_out_all_others() -> None:
    seen = running(observedGeneration=1)
    condition = {"type": "PodScheduled", "status": "False", "message": UNSCHEDULED}
    seen = replace(seen, pods=(pinned_pod(conditions=[condition]),), nodes=nodes(made_node(0, unschedulable=True)))

    cause = workload_cause(seen, seen.existing[("Deployment", "phi")])

    assert cause is not None
    assert cause.message == (
        "Pod phi-1 cannot be scheduled on node-0: 1 node(s) were unschedulable. Node node-0 is cordoned: kubectl uncordon node-0."
    )


def test_a_pod_that_is_bound_to_no_name_names_the_ordered_nodes_that_stand_empty() -> None:
    seen = running(observedGeneration=1)
    bound = deepcopy(seen.existing[("Deployment", "phi")]["spec"]["template"]["spec"])
    condition = {"type": "PodScheduled", "status": "False", "message": UNSCHEDULED}
    waiting = {"metadata": {"name": "phi-1"}, "spec": bound, "status": {"conditions": [condition]}}
    seen = replace(seen, pods=(waiting,), nodes=nodes(made_node(0, unschedulable=True)))

    cause = workload_cause(seen, seen.existing[("Deployment", "phi")])

    assert cause is not None
    assert cause.message == (
        "Pod phi-1 cannot be scheduled on node-0: 1 node(s) were unschedulable. Node node-0 is cordoned: kubectl uncordon node-0."
    )


def test_an_image_that_cannot_be_pulled_names_the_pull_secrets() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "401 Unauthorized"}}
    cause = pods_cause([pinned_pod(containerStatuses=[{"name": "phi", "image": "r.io/a:1", "state": waiting}])])

    assert cause is not None
    assert cause.message.endswith("cannot be pulled: 401 Unauthorized. Its pull secrets: acr.")
