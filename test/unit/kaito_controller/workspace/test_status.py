"""What is shown: conditions and their words, deadlines, and no write without news."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller_runtime.clock import rfc3339
from controller_runtime.conditions import Condition
from controller_runtime.errors import Forbidden, Invalid
from controller_runtime.resources import Object, name_of
from kaito_controller.api import reasons
from kaito_controller.api.reasons import REASONS
from kaito_controller.workspace.act.actions import Create, Replace
from kaito_controller.workspace.act.api_rejections import rejection_of
from kaito_controller.workspace.conditions.status import (
    changes,
    conditions_of,
    deleting_conditions,
    poisoned_conditions,
    status_of,
)
from kaito_controller.workspace.conditions.tuning import failure_message
from kaito_controller.workspace.decide.decision import decide
from kaito_controller.workspace.decide.deletion import Remains, deletion_verdict, plan_deletion
from kaito_controller.workspace.decide.plan import plan
from kaito_controller.workspace.state.snapshot import ApiRejection, MachinePhase, Snapshot
from test.support.snapshots import (
    START,
    UID,
    machine,
    made_node,
    node,
    nodes,
    pod,
    raw_workspace,
    running,
    shown,
    snapshot,
    two_replicas,
)
from test.support.workspace_world import tuning

CONFIG = Path(__file__).resolve().parents[4] / "config"


def test_first_look_waits_for_machines_and_says_until_when() -> None:
    found, decision = shown(snapshot())

    assert set(found.values()) == {("False", "MachinesPending")}
    assert "2026-01-02T03:34:05Z at the latest" in decision.overall.message, "the provisioner may give it up before"
    assert decision.overall.until == START + timedelta(seconds=120)


def test_serving_is_ready_everywhere() -> None:
    found, _ = shown(running(observedGeneration=1, readyReplicas=1, updatedReplicas=1))

    assert {status for status, _ in found.values()} == {"True"}


def test_replica_on_a_node_that_is_gone_does_not_count() -> None:
    seen = running(observedGeneration=1, readyReplicas=1, updatedReplicas=1)

    found, _ = shown(replace(seen, nodes={}, lost_nodes=("aks-0",)))

    assert {status for kind, (status, _) in found.items() if kind != "MachineReady"} == {"False"}


def test_readiness_of_an_older_generation_does_not_count() -> None:
    found, _ = shown(running(observedGeneration=0, readyReplicas=1, updatedReplicas=1))

    assert found["InferenceReady"] == ("False", "WorkloadPending")


def test_what_serves_goes_on_serving_when_somebody_has_changed_its_object() -> None:
    """A policy engine that rewrites the image of every Deployment must not make the model look down for ever."""
    seen = running(observedGeneration=1, readyReplicas=1, updatedReplicas=1)
    seen.existing[("Deployment", "phi")]["spec"]["template"]["spec"]["containers"][0]["image"] = (
        "mirror.example.com/phi:1"
    )

    found, decision = shown(seen)

    assert found["InferenceReady"] == ("True", "InferenceServing")
    assert [type(action).__name__ for action in plan(seen, decision)] == ["Replace"]


def refused(**condition: Any) -> Object:
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", **condition}


def test_pods_that_are_refused_are_told_before_pods_that_only_start() -> None:
    quota = 'pods "phi-x" is forbidden: exceeded quota: gpus'
    starting = pod("a", {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}})
    seen = replace(running(observedGeneration=1, conditions=[refused(message=quota)]), pods=(starting,))

    found, decision = shown(seen)

    assert found["InferenceReady"] == ("False", "WorkloadRefused")
    assert f"The pods of Deployment phi are refused: {quota}." in decision.overall.message


def test_refusal_that_only_an_event_tells_is_told_too() -> None:
    found, decision = shown(replace(running(observedGeneration=1), pods_refused="create Pod phi-0 failed: no quota"))

    assert found["InferenceReady"] == ("False", "WorkloadRefused")
    assert "are refused: create Pod phi-0 failed: no quota." in decision.overall.message


def test_volume_that_only_an_event_tells_of_is_told_before_pods_that_only_start() -> None:
    said = 'Pod phi-0 cannot start: MountVolume.SetUp failed for volume "v" : secret "push" not found'
    starting = pod("phi-0", {"name": "c", "state": {"waiting": {"reason": "ContainerCreating"}}})

    found, decision = shown(replace(running(observedGeneration=1), pods=(starting,), unmounted=said))

    assert found["InferenceReady"] == ("False", "ContainerConfigInvalid")
    assert decision.overall.message.startswith(f"{said}.")


def test_status_that_is_already_right_is_equal() -> None:
    seen = snapshot()
    wanted = conditions_of(seen, decide(seen))
    raw = raw_workspace()
    raw["status"] = status_of(raw, wanted, (), START)

    assert status_of(raw, wanted, (), START + timedelta(hours=1)) == raw["status"]
    assert changes(raw, wanted) == ()


def test_transition_time_stands_still_while_only_the_reason_changes() -> None:
    raw = raw_workspace()
    first = snapshot(raw)
    raw["status"] = status_of(raw, conditions_of(first, decide(first)), (), START)
    later = snapshot(
        raw, after_s=60, machines=(machine(phase=MachinePhase.PENDING, reason="LaunchFailed", message="no"),)
    )

    after = status_of(raw, conditions_of(later, decide(later)), (), later.now)

    assert {c["reason"] for c in after["conditions"]} == {"MachineFailing"}
    assert {c["lastTransitionTime"] for c in after["conditions"]} == {"2026-01-02T03:04:05Z"}


def test_every_condition_uses_a_reason_that_lists_it() -> None:
    for seen in (snapshot(), running(observedGeneration=1, readyReplicas=1, updatedReplicas=1), running()):
        for condition in conditions_of(seen, decide(seen)):
            named = "WorkspaceReady" if condition.type == "WorkspaceSucceeded" else condition.type
            assert named in REASONS[condition.reason].conditions


def test_newer_name_of_the_overall_condition_says_the_same() -> None:
    seen = running(observedGeneration=1, readyReplicas=1, updatedReplicas=1)

    said = {c.type: (c.status, c.reason, c.message) for c in conditions_of(seen, decide(seen))}

    assert said["WorkspaceSucceeded"] == said["WorkspaceReady"]


def test_conditions_of_a_predecessor_are_taken_over_or_removed_and_those_of_strangers_stay() -> None:
    raw = raw_workspace()
    kinds = ("NodeClaimReady", "WorkspaceSucceeded", "example.com/Audited")
    raw["status"] = {"conditions": [{"type": kind, "status": "True", "reason": "x"} for kind in kinds]}
    seen = snapshot(raw)

    after = status_of(raw, conditions_of(seen, decide(seen)), (), START)["conditions"]

    found = {entry["type"]: entry["status"] for entry in after}
    assert "NodeClaimReady" not in found
    assert (found["WorkspaceSucceeded"], found["example.com/Audited"]) == ("False", "True")


def test_poisoned_workspace_is_told_where_the_controller_fails_and_the_text_is_the_same_each_time() -> None:
    raw = raw_workspace()
    raw["status"] = {"conditions": "odd", "record": {"uid": UID}}

    def fail() -> tuple[Condition, ...]:
        try:
            return (1 / 0,)  # type: ignore[return-value]  # it raises
        except ZeroDivisionError as error:
            return poisoned_conditions(raw, error, 300.0)

    first, second = fail()
    shown_now = status_of(raw, fail(), (), START)

    assert (first.type, first.status, first.reason) == ("WorkspaceReady", "Unknown", "InternalError")
    assert "ZeroDivisionError in test_status.py:" in first.message
    assert second.type == "WorkspaceSucceeded"
    assert len(shown_now["conditions"]) == 2


def test_broken_specification_changes_nothing_and_is_terminal() -> None:
    raw = raw_workspace(inference={"preset": {"name": "no-such-model"}})
    found, decision = shown(snapshot(raw))

    assert {reason for _, reason in found.values()} == {"InvalidSpec"}
    assert plan(snapshot(raw), decision) == ()


def test_deletion_goes_from_workloads_to_machines_to_the_finalizer() -> None:
    service = {"kind": "Service", "metadata": {"name": "phi", "namespace": "default", "uid": "s"}}
    steps = [
        Remains(objects=(service,), machines=(machine(),)),
        Remains(pods=("phi-0",), machines=(machine(),)),
        Remains(machines=(machine(),)),
        Remains(machines=(machine(phase=MachinePhase.DELETING),)),
        Remains(),
    ]

    assert [[type(a).__name__ for a in plan_deletion(step)] for step in steps] == [
        ["Delete"],
        [],
        ["Delete"],
        [],
        ["RemoveFinalizer"],
    ]
    assert [deletion_verdict(step).reason.name for step in steps[:4]] == [
        *["DeletingWorkloads"] * 2,
        *["DeletingMachines"] * 2,
    ]
    assert deletion_verdict(steps[1]).message == "Waiting for Pod phi-0 to leave."
    assert machine().name in deletion_verdict(steps[2]).message


def test_what_is_being_deleted_is_ready_no_more() -> None:
    raw = raw_workspace()
    raw["status"] = {"conditions": [{"type": "WorkspaceReady", "status": "True", "reason": "InferenceServing"}]}

    found = {c.type: c.status for c in deleting_conditions(raw, deletion_verdict(Remains(machines=(machine(),))))}

    assert found == {"WorkspaceReady": "False", "WorkspaceDeleting": "True"}


def test_node_preferred_later_neither_moves_nor_restarts_a_run() -> None:
    config = yaml.safe_load((CONFIG / "tuning" / "qlora-params-template.yaml").read_text())

    def seen(preferred: tuple[str, ...], **existing: Any) -> Snapshot:
        return snapshot(
            raw_workspace(preferred=preferred, tuning=tuning()),
            config=config,
            machines=(machine(),),
            nodes=nodes(made_node(), node("spare")),
            **existing,
        )

    job = next(obj for obj in decide(seen(())).desired if obj["kind"] == "Job")
    job["metadata"]["creationTimestamp"] = rfc3339(START)

    decision = decide(seen(("spare",), existing={("Job", "phi"): job}))

    assert decision.assignment.names == ("node-0",)
    assert decision.obsolete == ""
    assert decide(seen(("spare",))).assignment.names == ("spare",)


def test_replicas_that_a_scaler_asks_for_are_not_waited_for_and_the_scaler_is_named() -> None:
    decision = decide(two_replicas(2, replicas=5, scaled_by="keda"))

    assert decision.run.reason.name == "InferenceServing"
    assert "was scaled to 5 by keda, while the Workspace asks for 2" in decision.run.message


def test_what_has_no_probe_is_said_to_run_and_not_to_answer_one() -> None:
    container = {"name": "own", "image": "r.io/own:1"}
    raw = raw_workspace(inference={"template": {"spec": {"containers": [container]}}})
    world = {"machines": (machine(),), "nodes": nodes(made_node(0))}
    objects = {(o["kind"], name_of(o)): deepcopy(o) for o in decide(snapshot(raw, **world)).desired}
    deployment = objects[("Deployment", "phi")]
    deployment["metadata"] |= {"uid": "d", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}
    deployment["status"] = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1}

    message = decide(snapshot(raw, **world, existing=objects)).run.message

    assert message == "1 of 1 replicas run (the template has no readiness probe)."


def test_an_annotation_that_has_no_effect_is_said_to_have_none() -> None:
    raw = raw_workspace()
    raw["metadata"]["annotations"] = {"kaito.sh/enablelb": "True"}
    world = {"machines": (machine(),), "nodes": nodes(made_node(0))}
    objects = {(o["kind"], name_of(o)): deepcopy(o) for o in decide(snapshot(raw, **world)).desired}
    deployment = objects[("Deployment", "phi")]
    deployment["metadata"] |= {"uid": "d", "generation": 1, "creationTimestamp": "2026-01-02T03:04:05Z"}
    deployment["status"] = {"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1}

    message = decide(snapshot(raw, **world, existing=objects)).run.message

    assert "kaito.sh/enablelb has no effect in this namespace" in message
    assert objects[("Service", "phi")]["spec"]["type"] == "ClusterIP"


def test_a_service_that_is_somebody_elses_is_part_of_readiness() -> None:
    seen = replace(
        running(observedGeneration=1, readyReplicas=1, updatedReplicas=1),
        rejection=ApiRejection("Service phi exists", reason=reasons.NAME_TAKEN),
    )

    found, decision = shown(seen)

    assert found["WorkspaceReady"] == ("False", "NameTaken")
    assert decision.release is None


def test_a_selector_that_cannot_be_changed_is_cured_by_deleting_the_object() -> None:
    live = {"kind": "Deployment", "metadata": {"name": "phi", "namespace": "default"}}
    causes = {"causes": [{"field": "spec.selector", "message": "field is immutable"}]}

    told = rejection_of(Replace(live, live, repair=False), Invalid("immutable", code=422, details=causes)).message

    assert "kubectl delete deployment phi -n default" in told


def test_a_restored_object_with_another_selector_is_cured_in_the_same_way() -> None:
    """It is met by a creation, and refused when its owner and our fields are put on it."""
    meant = {"kind": "Deployment", "metadata": {"name": "phi", "namespace": "default"}}
    causes = {"causes": [{"field": "spec.selector", "message": "field is immutable"}]}

    told = rejection_of(Create(meant), Invalid("immutable", code=422, details=causes)).message

    assert "kubectl delete deployment phi -n default" in told


def test_a_refusal_says_what_was_refused_and_when_it_is_tried_again() -> None:
    live = {"kind": "Deployment", "metadata": {"name": "phi", "namespace": "default"}}

    told = rejection_of(
        Replace(live, live, repair=False), Forbidden("exceeded quota", code=403, reason="Forbidden")
    ).message

    assert told == "Deployment phi: exceeded quota (403 Forbidden). It is tried again every 60 s."


@pytest.mark.parametrize(("failed", "told"), [(1, "after 1 attempt ("), (4, "after 4 attempts (")])
def test_a_job_that_failed_counts_its_attempts_in_english(failed: int, told: str) -> None:
    over = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "too many"}
    job = {"kind": "Job", "metadata": {"name": "phi"}, "status": {"failed": failed, "conditions": [over]}}

    assert f"Job phi failed {told}BackoffLimitExceeded: too many)" in failure_message(running(), job)
