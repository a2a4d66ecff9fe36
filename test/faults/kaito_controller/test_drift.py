"""What somebody changes: objects are put back, ever more rarely where a program objects; a run starts anew only for an edit with effect."""

from __future__ import annotations

import time
from typing import Any

import pytest

from controller_runtime.client.api import PatchType
from controller_runtime.resources import (
    DEPLOYMENTS,
    JOBS,
    SERVICES,
    uid_of,
)
from test.support.workspace_world import Operator, World, tuning, workspace

pytestmark = pytest.mark.faults


def test_objects_changed_or_lost_are_put_back(world: World) -> None:
    with Operator(world):
        world.apply(workspace())
        world.until_ready()

        world.client.delete(SERVICES, "phi", "default")
        world.until(lambda: world.find(SERVICES, "phi", "default"), "the Service being put back")
        world.client.patch(DEPLOYMENTS, "phi", {"spec": {"replicas": 3}}, "default")
        world.until(
            lambda: world.find(DEPLOYMENTS, "phi", "default")["spec"]["replicas"] == 1, "the Deployment being repaired"
        )
        world.patch("phi", {"metadata": {"annotations": {"kaito.sh/enablelb": "True"}}})
        world.until(lambda: world.find(SERVICES, "phi", "default")["spec"]["type"] == "LoadBalancer", "a load balancer")
        world.until_ready()


def test_selector_and_ports_that_somebody_adds_to_the_service_are_taken_off_and_then_there_is_silence(
    world: World,
) -> None:
    with Operator(world) as operator:
        world.apply(workspace())
        world.until_ready()
        meant = world.find(SERVICES, "phi", "default")["spec"]
        port = {"name": "debug", "port": 9999, "protocol": "TCP", "targetPort": 9999}

        for patch in (
            {"selector": {"version": "2"}},
            {"ports": [*meant["ports"], port]},
            {"selector": {"version": "2"}},
        ):
            world.client.patch(SERVICES, "phi", {"spec": patch}, "default")
            world.until(lambda: world.find(SERVICES, "phi", "default")["spec"] == meant, f"{patch} being taken off")

        world.until(lambda: len(operator.controller) == 0, "quiet")
        before = len(world.writes())
        world.patch("phi", {"metadata": {"labels": {"touched": "yes"}}})
        world.until(lambda: len(operator.controller) == 0, "quiet")
        assert len(world.writes()) == before


def test_variable_added_by_hand_is_taken_off_at_once_and_an_annotation_of_others_stays(world: World) -> None:
    def template() -> Any:
        return world.find(DEPLOYMENTS, "phi", "default")["spec"]["template"]

    def patch(spec: Any) -> None:
        world.client.patch(DEPLOYMENTS, "phi", {"spec": {"template": spec}}, "default", patch_type=PatchType.STRATEGIC)

    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        meant = template()["spec"]
        restarted = {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}
        patch({"metadata": {"annotations": restarted}})

        patch({"spec": {"containers": [{"name": "phi", "env": [{"name": "DEBUG", "value": "1"}]}]}})

        world.until(lambda: "DEBUG" not in str(template()), "the variable being taken off")
        assert template()["spec"] == meant
        assert template()["metadata"]["annotations"] == restarted


def test_program_that_undoes_each_repair_is_answered_ever_more_rarely_and_loses_in_the_end(world: World) -> None:
    def repairs() -> int:
        return sum(line.startswith("update services phi") for line in world.writes())

    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        meant, start = world.find(SERVICES, "phi", "default")["spec"], time.monotonic()

        def undo_until(count: int) -> bool:
            if repairs() < count and world.find(SERVICES, "phi", "default")["spec"] == meant:
                world.client.patch(SERVICES, "phi", {"spec": {"selector": {"version": "2"}}}, "default")
            return repairs() >= count

        world.until(lambda: undo_until(3), "three repairs")

        assert time.monotonic() - start >= 3.0, "the pauses are one second, then two"
        world.until(lambda: world.find(SERVICES, "phi", "default")["spec"] == meant, "what is meant to stand")


def test_edit_without_effect_on_training_does_not_restart_it_and_one_with_effect_does_once(world: World) -> None:
    world.add_default_tuning_configs()
    world.script.job_succeeds = None
    with Operator(world):
        world.apply(workspace(tuning=tuning()))
        world.until(lambda: world.condition("JobStarted")[0] == "True", "JobStarted")
        first = uid_of(job(world))

        world.patch("phi", {"resource": {"preferredNodes": ["elsewhere"]}})
        world.until(lambda: world.condition("JobStarted")[0] == "True" and observed_generation(world) == 2, "a look")
        assert uid_of(job(world)) == first

        world.patch("phi", {"tuning": {"input": {"urls": ["https://example.com/other.parquet"]}}})
        world.until(lambda: job(world) is not None and uid_of(job(world)) != first, "the second run")
        second = uid_of(job(world))
        world.script.job_succeeds = True
        world.until_ready()
        assert uid_of(job(world)) == second


def job(world: World):
    return world.find(JOBS, "phi", "default")


def observed_generation(world: World) -> int:
    return min(c["observedGeneration"] for c in world.get()["status"]["conditions"])
