"""The simulated life of a pod, stepped by hand: every stage in its order and at its time."""

from __future__ import annotations

from typing import Any

import pytest

from hack.localcluster.actors.podfaults import PodFault, PodFaultError, PodFaultKind, PodFaults
from hack.localcluster.actors.podlife import Moment, PodLife, backoff_s
from hack.localcluster.actors.podstatus import pod_status, wanted_conditions
from hack.localcluster.durations import Durations

Object = dict[str, Any]
DURATIONS = Durations(
    sandbox_s=1,
    image_pull_s=10,
    container_start_s=1,
    init_container_run_s=5,
    job_container_run_s=20,
    crash_after_s=2,
    model_load_s=30,
    weights_fetch_s=100,
    training_s=200,
)


class Stage:
    """A pod, its life, and a clock that only moves when told."""

    def __init__(self, pod: Object, faults: PodFaults | None = None) -> None:
        rules = faults or PodFaults()
        self.pod = pod
        self.now = 100.0
        self.said: list[tuple[str, str]] = []
        images: set[str] = set()
        self.life = PodLife(
            durations=DURATIONS,
            scale=lambda seconds: seconds,
            find_fault=lambda about, container, spend: rules.find(about, container, spend=spend),
            say=lambda kind, reason, note: self.said.append((reason, note)),
            image_is_cached=images.__contains__,
            cache_image=images.add,
            born=self.now,
            ip="10.0.0.1",
        )

    def at(self, seconds: float) -> Object:
        """The status `seconds` after birth; every due wake-up on the way is taken."""
        while True:
            wake = self.life.advance(self.pod, Moment(self.now, f"t{self.now:g}"))
            if wake is None or wake > 100.0 + seconds:
                break
            self.now = wake
        self.now = 100.0 + seconds
        self.life.advance(self.pod, Moment(self.now, f"t{self.now:g}"))
        status = pod_status(self.pod, self.life, self.now, "10.1.0.1")
        status["conditions"] = wanted_conditions(self.pod, self.life, status)
        return status


def pod(annotations: Object | None = None, **overrides: Any) -> Object:
    container = {"name": "main", "image": "app:1", **overrides.pop("container", {})}
    return {
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "annotations": annotations or {}},
        "spec": {"containers": [container], **overrides},
    }


def state(status: Object, kind: str = "containerStatuses", index: int = 0) -> Object:
    return dict(status[kind][index]["state"])


def ready(status: Object) -> bool:
    return bool(status["conditions"]["Ready"][0] == "True")


def test_plain_pod_pulls_starts_and_gets_ready() -> None:
    stage = Stage(pod())
    assert state(stage.at(5)) == {"waiting": {"reason": "ContainerCreating"}}
    running = stage.at(12)
    assert (running["phase"], ready(running)) == ("Running", True)
    assert [reason for reason, _ in stage.said] == ["Pulling", "Pulled", "Created", "Started"]


def test_readiness_probe_delays_ready_but_not_running() -> None:
    stage = Stage(pod(container={"readinessProbe": {"initialDelaySeconds": 30}}))
    early = stage.at(20)
    assert (early["phase"], ready(early)) == ("Running", False)
    assert early["conditions"]["Ready"][1:] == ("ContainersNotReady", "containers with unready status: [main]")
    assert ready(stage.at(43))


def test_model_on_port_5000_takes_time_to_load() -> None:
    stage = Stage(pod(container={"ports": [{"containerPort": 5000}]}))
    assert not ready(stage.at(40))
    assert ready(stage.at(43))


def test_init_containers_run_one_after_another() -> None:
    inits = [{"name": name, "image": "app:1"} for name in ("one", "two")]
    stage = Stage(pod(initContainers=inits))
    first = stage.at(14)
    assert "running" in state(first, "initContainerStatuses", 0)
    assert state(first, "initContainerStatuses", 1) == {"waiting": {"reason": "PodInitializing"}}
    assert state(first) == {"waiting": {"reason": "PodInitializing"}}
    assert first["conditions"]["Initialized"][:2] == ("False", "ContainersNotInitialized")
    second = stage.at(19)
    assert state(second, "initContainerStatuses", 0)["terminated"]["exitCode"] == 0
    assert "running" in state(second, "initContainerStatuses", 1)
    assert stage.at(25)["phase"] == "Running"


def test_failing_init_container_keeps_a_restarting_pod_pending() -> None:
    stage = Stage(pod({"localcluster/fail": "init:crash"}, initContainers=[{"name": "init", "image": "app:1"}]))
    status = stage.at(60)
    assert status["phase"] == "Pending"
    assert status["initContainerStatuses"][0]["restartCount"] >= 1


def test_failing_init_container_fails_a_pod_that_never_restarts() -> None:
    stage = Stage(
        pod(
            {"localcluster/fail": "init:exit=9"},
            initContainers=[{"name": "init", "image": "app:1"}],
            restartPolicy="Never",
        )
    )
    status = stage.at(60)
    assert status["phase"] == "Failed"
    assert state(status, "initContainerStatuses")["terminated"]["exitCode"] == 9


def test_pod_that_is_meant_to_end_succeeds() -> None:
    stage = Stage(pod(restartPolicy="Never"))
    assert stage.at(20)["phase"] == "Running"
    done = stage.at(40)
    assert (done["phase"], state(done)["terminated"]["reason"]) == ("Succeeded", "Completed")
    assert done["conditions"]["Ready"][:2] == ("False", "PodCompleted")


@pytest.mark.parametrize(("policy", "phase"), [("Never", "Failed"), ("OnFailure", "Running"), ("Always", "Running")])
def test_exit_code_meets_the_restart_policy(policy: str, phase: str) -> None:
    stage = Stage(pod({"localcluster/fail": "exit=3"}, restartPolicy=policy))
    assert stage.at(15)["phase"] == phase


def test_crash_loop_backs_off_ever_longer() -> None:
    stage = Stage(pod({"localcluster/fail": "crash"}))
    first = stage.at(15)
    assert state(first)["waiting"]["reason"] == "CrashLoopBackOff"
    assert "back-off 10s restarting failed container=main pod=p_default(u)" in state(first)["waiting"]["message"]
    assert first["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    assert stage.at(26)["containerStatuses"][0]["restartCount"] == 1
    assert "back-off 20s" in state(stage.at(28))["waiting"]["message"]
    assert [backoff_s(DURATIONS, n) for n in (1, 2, 3, 20)] == [10, 20, 40, 300]


def test_oom_kill_shows_137() -> None:
    ended = Stage(pod({"localcluster/fail": "oom"})).at(15)["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


def test_missing_image_is_an_error_first_and_a_back_off_later() -> None:
    stage = Stage(pod(container={"image": "does-not-exist:1"}))
    assert state(stage.at(12))["waiting"]["reason"] == "ErrImagePull"
    later = stage.at(60)
    assert state(later)["waiting"]["reason"] == "ImagePullBackOff"
    assert later["phase"] == "Pending"
    assert ("Failed", "Error: ErrImagePull") in stage.said


def test_image_is_pulled_once_per_node() -> None:
    stage = Stage(pod({"localcluster/fail": "crash"}))
    stage.at(40)
    assert [reason for reason, _ in stage.said].count("Pulling") == 1


def test_rule_with_times_lets_later_runs_succeed() -> None:
    faults = PodFaults()
    faults.add(PodFault(PodFaultKind.CRASH, image="app:*", times=1, message="boom"))
    status = Stage(pod(container={"terminationMessagePolicy": "FallbackToLogsOnError"}), faults).at(60)
    assert ready(status)
    assert status["containerStatuses"][0]["restartCount"] == 1
    assert status["containerStatuses"][0]["lastState"]["terminated"]["message"] == "boom"
    assert faults.to_json() == []


def test_last_words_stay_in_the_log_unless_the_pod_asks_for_them() -> None:
    faults = PodFaults()
    faults.add(PodFault(PodFaultKind.CRASH, image="app:*", times=1, message="boom"))
    status = Stage(pod(), faults).at(60)
    assert "message" not in status["containerStatuses"][0]["lastState"]["terminated"]


def test_pod_that_never_gets_ready_runs_all_the_same() -> None:
    status = Stage(pod({"localcluster/fail": "never-ready"})).at(600)
    assert (status["phase"], ready(status)) == ("Running", False)


def test_sidecar_starts_first_and_goes_on() -> None:
    status = Stage(pod(initContainers=[{"name": "side", "image": "app:1", "restartPolicy": "Always"}])).at(60)
    assert "running" in state(status, "initContainerStatuses")
    assert "running" in state(status)
    assert ready(status)


def test_unreadable_annotation_is_ignored() -> None:
    assert ready(Stage(pod({"localcluster/fail": "explode"})).at(60))


def test_unreadable_rule_is_refused_with_field_and_value() -> None:
    with pytest.raises(PodFaultError, match="kind: 'explode'"):
        PodFaults().add_json({"kind": "explode"})


def test_a_server_of_the_runtime_image_fetches_its_weights_before_it_loads_them() -> None:
    container = {"command": ["python3", "-m", "model_runtime.serve"], "args": ["--weights=hf://a/b@main"]}
    stage = Stage(pod(container={**container, "ports": [{"containerPort": 5000}]}))
    assert not ready(stage.at(12 + 129))
    work = stage.life.work(stage.pod)
    assert work is not None
    assert (work.kind, work.model, work.began, work.takes_s) == ("fetching", "a/b", 112.0, 100)
    assert ready(stage.at(12 + 130))


def test_a_trainer_takes_its_time_and_counts_while_it_runs() -> None:
    trainer = {"name": "t", "image": "app:1", "env": [{"name": "MODEL_RUNTIME_WEIGHTS", "value": "hf://a/b@c"}]}
    stage = Stage(pod(initContainers=[trainer]))
    assert state(stage.at(12 + 199), "initContainerStatuses") == {"running": {"startedAt": "t112"}}
    work = stage.life.work(stage.pod)
    assert work is not None
    assert (work.kind, work.takes_s) == ("training", 200)
    assert "terminated" in state(stage.at(12 + 200), "initContainerStatuses")
    assert stage.life.work(stage.pod) is None
