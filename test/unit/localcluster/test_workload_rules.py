"""The pure parts of the workload controllers: rollout steps, deadlines, failure policies, names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hack.localcluster.actors.deployments import (
    availability,
    bounds,
    build_replica_set,
    deployment_status,
    first_replicas,
    plan_scaling,
    progress,
    template_hash,
)
from hack.localcluster.actors.jobs import completions_of, policy_action, resume_tally
from hack.localcluster.actors.pods import safe_hash
from hack.localcluster.actors.replicasets import usefulness
from hack.localcluster.actors.statefulsets import build_pod, stateful_set_status

Object = dict[str, Any]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def deployment(replicas: int, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}}
    base = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    return {"metadata": {"name": "x", "namespace": "default", "uid": "u", "generation": 1}, "spec": {**base, **spec}}


def replica_set(name: str, replicas: int, available: int | None = None, revision: int = 1) -> Object:
    count = replicas if available is None else available
    metadata = {"name": name, "annotations": {"deployment.kubernetes.io/revision": str(revision)}}
    return {
        "metadata": metadata,
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "readyReplicas": count, "availableReplicas": count},
    }


def steps(wanted: Object, current: Object, *old: Object) -> dict[str, int]:
    return {entry["metadata"]["name"]: replicas for entry, replicas in plan_scaling(wanted, current, list(old))}


# ---- Deployments


@pytest.mark.parametrize(
    ("replicas", "rolling", "expected"),
    [
        (4, {}, (1, 1)),
        (1, {}, (1, 0)),
        (10, {"maxSurge": "30%", "maxUnavailable": "30%"}, (3, 3)),
        (3, {"maxSurge": 0, "maxUnavailable": 0}, (0, 1)),
        (3, {"maxSurge": 2, "maxUnavailable": 1}, (2, 1)),
    ],
)
def test_surge_rounds_up_and_unavailability_rounds_down(
    replicas: int, rolling: Object, expected: tuple[int, int]
) -> None:
    assert bounds(deployment(replicas, strategy={"rollingUpdate": rolling})) == expected


def test_single_replica_is_replaced_by_growing_first() -> None:
    wanted = deployment(1)
    assert first_replicas(wanted, [replica_set("old", 1)]) == 1
    assert steps(wanted, replica_set("new", 1, available=0), replica_set("old", 1)) == {}
    assert steps(wanted, replica_set("new", 1), replica_set("old", 1)) == {"old": 0}


def test_rollout_never_goes_below_the_minimum() -> None:
    wanted = deployment(4)
    assert steps(wanted, replica_set("new", 1, available=0), replica_set("old", 4)) == {"old": 3}
    assert steps(wanted, replica_set("new", 2, available=1), replica_set("old", 3)) == {"old": 2}


def test_pods_that_are_not_available_go_first_and_free_of_charge() -> None:
    assert steps(deployment(4), replica_set("new", 1, available=0), replica_set("old", 4, available=3)) == {"old": 3}


def test_broken_new_pods_do_not_take_the_old_ones_down() -> None:
    assert steps(deployment(2), replica_set("new", 1, available=0), replica_set("old", 2)) == {}


def test_recreate_waits_until_the_old_pods_are_gone() -> None:
    wanted = deployment(2, strategy={"type": "Recreate"})
    assert first_replicas(wanted, [replica_set("old", 2)]) == 0
    assert steps(wanted, replica_set("new", 0), replica_set("old", 2)) == {"old": 0}
    leaving = replica_set("old", 0) | {"status": {"replicas": 1}}
    assert steps(wanted, replica_set("new", 0), leaving) == {}
    assert steps(wanted, replica_set("new", 0), replica_set("old", 0)) == {"new": 2}


def test_replica_set_carries_the_hash_in_labels_and_selector() -> None:
    wanted = deployment(2)
    name = f"x-{template_hash(wanted)}"
    built = build_replica_set(wanted, name, 3)
    assert built["spec"]["selector"]["matchLabels"] == built["spec"]["template"]["metadata"]["labels"]
    assert built["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "3"}
    assert "pod-template-hash" not in wanted["spec"]["template"]["metadata"]["labels"]


def test_hash_depends_on_the_template_alone_and_not_on_its_key_order() -> None:
    assert template_hash(deployment(1)) == template_hash(deployment(5))
    assert safe_hash({"a": 1, "b": 2}) == safe_hash({"b": 2, "a": 1})
    assert safe_hash({"a": 1}) != safe_hash({"a": 2})


def judged(wanted: Object, current: Object, now: datetime, deadline_s: float = 10.0) -> Object:
    status = deployment_status(wanted, current, [])
    status["conditions"] = list((wanted.get("status") or {}).get("conditions") or [])
    progress(wanted, status, current, now, deadline_s)
    return status


def progressing(status: Object) -> Object:
    return next(entry for entry in status["conditions"] if entry["type"] == "Progressing")


def test_deadline_counts_from_the_last_progress_and_stays_exceeded() -> None:
    wanted = deployment(2)
    stuck = replica_set("new", 2, available=0)
    wanted["status"] = judged(wanted, stuck, NOW)
    assert progressing(wanted["status"])["reason"] == "ReplicaSetUpdated"
    wanted["status"] = judged(wanted, stuck, NOW + timedelta(seconds=11))
    assert progressing(wanted["status"])["reason"] == "ProgressDeadlineExceeded"
    wanted["status"] = judged(wanted, stuck, NOW + timedelta(seconds=12))
    assert progressing(wanted["status"])["status"] == "False"
    wanted["status"] = judged(wanted, replica_set("new", 2), NOW + timedelta(seconds=13))
    assert progressing(wanted["status"])["reason"] == "NewReplicaSetAvailable"


def test_availability_tolerates_what_the_rollout_may_take() -> None:
    wanted = deployment(4)
    enough, too_few = (deployment_status(wanted, replica_set("new", 4, available=n), []) for n in (3, 2))
    assert availability(wanted, enough)["Available"][0] == "True"
    assert availability(wanted, too_few)["Available"][:2] == ("False", "MinimumReplicasUnavailable")


def test_least_useful_pod_goes_first() -> None:
    def pod(name: str, node: str, phase: str, ready: str, created: str) -> Object:
        conditions = [{"type": "Ready", "status": ready}]
        return {
            "metadata": {"name": name, "creationTimestamp": created},
            "spec": {"nodeName": node},
            "status": {"phase": phase, "conditions": conditions},
        }

    pods = [
        pod("old", "n", "Running", "True", "2026-01-01T00:00:00Z"),
        pod("young", "n", "Running", "True", "2026-01-02T00:00:00Z"),
        pod("unready", "n", "Running", "False", "2026-01-01T00:00:00Z"),
        pod("pending", "", "Pending", "False", "2026-01-01T00:00:00Z"),
    ]
    assert [p["metadata"]["name"] for p in sorted(pods, key=usefulness)] == ["pending", "unready", "young", "old"]


# ---- StatefulSets


def test_pod_of_a_set_has_its_ordinal_everywhere() -> None:
    pod = build_pod(deployment(2, serviceName="x-headless"), 1)
    assert pod["metadata"]["name"] == pod["spec"]["hostname"] == "x-1"
    assert pod["spec"]["subdomain"] == "x-headless"
    assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "1"


def test_current_revision_follows_when_the_rollout_is_complete() -> None:
    wanted = deployment(1)
    fresh = build_pod(wanted, 0)
    fresh["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    wanted["status"] = {"currentRevision": "x-old"}
    assert stateful_set_status(wanted, [])["currentRevision"] == "x-old"
    done = stateful_set_status(wanted, [fresh])
    assert done["currentRevision"] == done["updateRevision"]
    assert (done["readyReplicas"], done["updatedReplicas"]) == (1, 1)


# ---- Jobs


def failed_pod(code: int, condition: str = "") -> Object:
    status: Object = {
        "phase": "Failed",
        "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}],
    }
    if condition:
        status["conditions"] = [{"type": condition, "status": "True"}]
    return {"metadata": {"name": "p", "uid": f"u{code}", "creationTimestamp": "t"}, "status": status}


def job(*rules: Object, **spec: Any) -> Object:
    return {"metadata": {"name": "j", "uid": "j"}, "spec": {"podFailurePolicy": {"rules": list(rules)}, **spec}}


def test_first_rule_that_fits_decides_about_a_failed_pod() -> None:
    fatal = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    evicted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    policy = job(evicted, fatal)
    assert policy_action(policy, failed_pod(42)) == "FailJob"
    assert policy_action(policy, failed_pod(42, "DisruptionTarget")) == "Ignore"
    assert policy_action(policy, failed_pod(1)) == "Count"


def test_rule_about_another_container_does_not_fit() -> None:
    rule = {"action": "FailJob", "onExitCodes": {"containerName": "other", "operator": "NotIn", "values": [0]}}
    assert policy_action(job(rule), failed_pod(1)) == "Count"


def test_completions_default_to_the_parallelism() -> None:
    assert [completions_of(job(**spec)) for spec in ({}, {"parallelism": 3}, {"completions": 5, "parallelism": 2})] == [
        1,
        3,
        5,
    ]


def test_counts_are_taken_over_from_the_status_after_a_restart() -> None:
    known = job() | {"status": {"failed": 1, "succeeded": 0}}
    tally = resume_tally(known, [failed_pod(1), failed_pod(2)])
    assert (tally.failed, len(tally.counted)) == (1, 1)
