"""Each failure leads to its documented reason and Event, and goes away with its cause. A provisioner that keeps only the contract."""

from __future__ import annotations

import re

import pytest

from controller_runtime.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, JOBS, NODES, Object, name_of
from kaito_controller.api.labels import TRY_AGAIN
from kaito_controller.workspace.act.actions import MACHINES
from test.support.scripted_cluster import built_in, now
from test.support.workspace_world import Operator, World, tuning, workspace

pytestmark = pytest.mark.faults


def wait_reason(world: World, reason: str, condition: str = "WorkspaceReady") -> str:
    """Until the condition and an Event carry the reason; the message."""
    world.until(lambda: world.condition(condition)[1] == reason, f"{condition} {reason}")
    world.until(lambda: reason in {event["reason"] for event in world.all(EVENTS)}, f"Event {reason}")
    return world.condition(condition)[2]


def note_of(world: World, reason: str) -> str:
    """What the Event with this reason says; there has to be one."""
    return next(str(event["note"]) for event in world.all(EVENTS) if event["reason"] == reason)


def waiting(why: str, message: str, /, **last: object) -> Object:
    """Status of a pod whose container does not run."""
    state = {"waiting": {"reason": why, "message": message}}
    container = {"name": "phi", "image": "i", "imageID": "", "ready": False, "restartCount": 3, "state": state}
    if last:
        container["lastState"] = {"terminated": last}
    return {"phase": "Pending", "containerStatuses": [container], "conditions": []}


POD_FAILURES = {
    "ImagePullFailed": (waiting("ImagePullBackOff", "unauthorized: no pull secret"), "unauthorized: no pull secret"),
    "ContainerCrashing": (
        waiting("CrashLoopBackOff", "back-off", exitCode=3, reason="Error", message="CUDA too old"),
        "exit code 3, last words: CUDA too old",
    ),
    "OutOfMemory": (waiting("CrashLoopBackOff", "back-off", exitCode=137, reason="OOMKilled"), "exit code 137"),
    "ContainerConfigInvalid": (waiting("CreateContainerConfigError", 'secret "hf" not found'), 'secret "hf" not found'),
    "PodUnschedulable": (
        {
            "phase": "Pending",
            "conditions": [built_in("PodScheduled", "False", "Unschedulable", "1 Insufficient nvidia.com/gpu")],
        },
        "Insufficient nvidia.com/gpu",
    ),
}


@pytest.mark.parametrize("reason", POD_FAILURES)
def test_pod_that_does_not_run_is_explained_and_recovers(world: World, reason: str) -> None:
    status, words = POD_FAILURES[reason]
    world.script.pod_status = lambda _pod: status
    with Operator(world):
        world.apply(workspace())

        message = wait_reason(world, reason)

        assert words in message
        assert "phi-0" in message
        world.script.pod_status = lambda _pod: None
        world.until_ready()


def test_machine_that_the_provisioner_keeps_retrying_is_quoted_and_recovers(world: World) -> None:
    world.script.launch_failure = lambda _machine: ("LaunchFailed", "QuotaExceeded: 0 of 6 NCSv3 cores left in eastus")
    with Operator(world):
        world.apply(workspace())

        message = wait_reason(world, "MachineFailing")

        assert "QuotaExceeded: 0 of 6 NCSv3 cores" in message
        world.script.launch_failure = lambda _machine: None
        world.until_ready()
        assert len(world.all(MACHINES)) == 1


def test_a_failure_is_dated_from_its_begin_where_the_condition_turned_long_before(world: World) -> None:
    """The step was in progress (False) before it failed (False), so that its `lastTransitionTime` is the creation of the order."""
    world.script.provisioner = False
    with Operator(world, provisioner_silence_s=0.5):
        world.apply(workspace())
        wait_reason(world, "ProvisionerSilent")
        began = now()

        said = world.node_api.written("MachineLaunched", "False", "LaunchFailed", "QuotaExceeded: 0 cores left", 1)
        old = {**said, "lastTransitionTime": "2020-01-01T00:00:00Z"}
        machine = name_of(world.all(world.node_api.resource)[0])
        world.client.patch(world.node_api.resource, machine, {"status": {"conditions": [old]}}, subresource="status")

        message = wait_reason(world, "MachineFailing")
        since = re.search(r"Since (\S+)\. It counts as failed at", message)
        assert since is not None
        assert began <= since[1] <= now()


@pytest.mark.parametrize("by", ["terminal reason", "deletion by the provisioner"])
def test_attempts_are_limited_hold_nothing_and_can_be_asked_for_again(world: World, by: str) -> None:
    if by == "terminal reason":
        world.script.launch_failure = lambda _machine: ("InstanceTypeNotOffered", "SkuNotAvailable: not in eastus")
    else:
        world.script.capacity_error = lambda _machine: True
    with Operator(world, machine_attempts=2, machine_retry_delay_s=0.1):
        world.apply(workspace())

        message = wait_reason(world, "MachineAttemptsExhausted")

        assert "attempt 2 of 2" in message
        world.until(lambda: not world.all(MACHINES), "no Machine being held")
        world.script.launch_failure = lambda _machine: None
        world.script.capacity_error = lambda _machine: False
        world.patch("phi", {"metadata": {"annotations": {TRY_AGAIN: "once more"}}})
        world.until_ready()


def test_provisioner_that_does_nothing_is_named_and_recovers(world: World) -> None:
    world.script.provisioner = False
    with Operator(world, provisioner_silence_s=1.0):
        world.apply(workspace())

        message = wait_reason(world, "ProvisionerSilent")

        assert "gpu-provisioner runs" in message
        world.script.provisioner = True
        world.until_ready()


def test_gpu_that_does_not_show_is_waited_for_then_reported_and_recovers(world: World) -> None:
    world.script.gpus = 0
    with Operator(world, gpu_timeout_s=2.0):
        world.apply(workspace())

        wait_reason(world, "GPUNotVisible")
        message = wait_reason(world, "GPUMissing", "ResourceReady")

        assert "device plugin" in message
        assert not world.all(DEPLOYMENTS)
        world.set_node(name_of(world.all(NODES)[0]), ready=True, gpus=1)
        world.until_ready()


def test_node_that_vanishes_is_replaced(world: World) -> None:
    with Operator(world, node_lost_timeout_s=4.0, machine_retry_delay_s=0.1):
        world.apply(workspace())
        world.until_ready()
        first = world.all(NODES)[0]

        world.client.delete(NODES, name_of(first))

        wait_reason(world, "NodeLost", "ResourceReady")
        world.until(lambda: [n for n in world.all(NODES) if name_of(n) != name_of(first)], "another node")
        world.until_ready()
        assert len(world.all(MACHINES)) == 1
        assert world.get()["status"]["workerNodes"] == [name_of(world.all(NODES)[0])]


def test_node_that_is_not_ready_is_reported_and_recovers(world: World) -> None:
    with Operator(world):
        world.apply(workspace())
        world.until_ready()
        found = name_of(world.all(NODES)[0])

        world.set_node(found, ready=False, gpus=1)

        assert found in wait_reason(world, "NodeNotReady", "ResourceReady")
        world.set_node(found, ready=True, gpus=1)
        world.until(lambda: world.condition("ResourceReady")[0] == "True", "ResourceReady")
        assert len(world.all(MACHINES)) == 1


def test_failed_job_is_explained_gives_its_nodes_back_and_can_be_asked_for_again(world: World) -> None:
    world.add_default_tuning_configs()
    world.script.job_succeeds = False
    with Operator(world):
        world.apply(workspace(tuning=tuning()))

        message = wait_reason(world, "GPUReleased")

        assert "JobFailed: Job phi failed after 4 attempts (BackoffLimitExceeded" in message
        assert "failed after 4 attempts" in note_of(world, "JobFailed")
        world.until(lambda: not world.all(MACHINES) and not world.all(NODES), "the nodes being given back")
        world.script.job_succeeds = True
        world.patch("phi", {"metadata": {"annotations": {TRY_AGAIN: "once more"}}})
        world.until_ready()
        assert world.condition("WorkspaceReady")[1] == "TuningSucceeded"


def test_finished_tuning_is_not_repeated_when_its_job_is_tidied_away(world: World) -> None:
    world.add_default_tuning_configs()
    with Operator(world):
        world.apply(workspace(tuning=tuning()))
        world.until_ready()
        world.until(lambda: "tunedRun" in world.get()["status"]["record"], "the record")

        world.client.delete(JOBS, "phi", "default")
        world.until(lambda: not world.all(JOBS), "the Job being gone")
        world.patch("phi", {"resource": {"preferredNodes": ["some-node"]}})
        world.until(lambda: world.condition("WorkspaceReady")[2] != "" and observed(world), "another look")

        assert not world.all(JOBS)
        assert world.condition("WorkspaceReady")[:2] == ("True", "TuningSucceeded")


def observed(world: World) -> bool:
    found = world.get()
    return all(c["observedGeneration"] == found["metadata"]["generation"] for c in found["status"]["conditions"])


def test_missing_training_configuration_orders_nothing_until_it_is_there(world: World) -> None:
    with Operator(world):
        world.apply(workspace(tuning=tuning()))

        message = wait_reason(world, "TuningConfigMissing")

        assert "qlora-params-template" in message
        assert not world.all(MACHINES)
        world.add_default_tuning_configs()
        world.until_ready()


def test_broken_training_configuration_names_the_key(world: World) -> None:
    data = {"training_config.yaml": "training_config: {Wrong: {}}"}
    world.create(CONFIG_MAPS, {"metadata": {"name": "mine", "namespace": "default"}, "data": data})
    with Operator(world):
        world.apply(workspace(tuning=tuning(config="mine")))

        assert "Wrong" in wait_reason(world, "TuningConfigInvalid")
        assert not world.all(MACHINES)


def test_model_that_does_not_fit_orders_nothing(world: World) -> None:
    with Operator(world):
        world.apply(workspace(inference={"preset": {"name": "falcon-40b"}}))

        assert "Standard_NC6s_v3" in wait_reason(world, "ModelDoesNotFit")
        assert not world.all(MACHINES)


def test_deployment_of_somebody_else_is_left_alone_and_named(world: World) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    world.create(DEPLOYMENTS, {"metadata": {"name": "phi", "namespace": "default"}, "spec": spec})
    world._run_workloads = lambda: None  # the scripted kubelets only know our own Deployments
    with Operator(world):
        world.apply(workspace())

        message = wait_reason(world, "NameTaken")

        assert "Deployment phi exists" in message
        assert world.find(DEPLOYMENTS, "phi", "default")["spec"]["template"]["spec"]["containers"][0]["image"] == "i"


def test_model_that_never_becomes_ready_gives_its_nodes_back(world: World) -> None:
    world.script.pod_status = lambda _pod: POD_FAILURES["ContainerCrashing"][0]
    template = {"spec": {"containers": [{"name": "phi", "image": "registry.example.com/mine:1"}]}}
    with Operator(world, failed_workload_grace_s=0.0, template_readiness_timeout_s=4.0):
        world.apply(workspace(inference={"template": template}))

        message = wait_reason(world, "GPUReleased")

        assert "exit code 3" in message
        assert "exit code 3" in note_of(world, "ContainerCrashing")
        world.until(lambda: not world.all(MACHINES), "the nodes being given back")
