"""Fine-tuning runs: which edits start a run again, and what a failed step leaves behind (a reason, an Event, and no GPU)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from controller_runtime.resources import PODS, Object
from hack.localcluster.actors.podfaults import PodFault, PodFaultKind
from kaito_controller.api.labels import TRY_AGAIN
from test.support.kaito_rig import ROOT, Rig
from test.support.sampling import sampled
from test.support.workspace_world import tuning, workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture
def team(rig: Rig, namespace: str) -> Iterator[str]:
    """A namespace with a push secret; faults of pods end with the test, before its Workspaces do."""
    rig.kubectl("create", "secret", "generic", "push", "-n", namespace, "--from-literal=.dockerconfigjson={}")
    yield namespace
    rig.cluster.actors.pod_faults.clear()


def asked(namespace: str, urls: str = "https://example.com/data.parquet", **resource: object) -> Object:
    return workspace("phi", namespace, resource=resource, tuning=tuning(input={"urls": [urls]}))


def runs(rig: Rig, namespace: str) -> int:
    """Jobs ever created; a dry run creates none."""
    return sum(
        entry.verb == "create" and entry.resource == "jobs" and entry.namespace == namespace and entry.code == 201
        for entry in rig.cluster.apiserver.audit
        if not entry.dry_run
    )


def hold_the_trainer(rig: Rig, namespace: str) -> None:
    """Runs are caught in the middle: the data is there, the trainer's image cannot be pulled for now."""
    rig.cluster.actors.pod_faults.add(PodFault(PodFaultKind.PULL, namespace=namespace, container="phi"))


def job_uid(rig: Rig, namespace: str) -> str:
    return rig.uid("job", "phi", namespace)


@pytest.mark.long
def test_edit_of_the_data_starts_a_run_again_once_and_an_edit_without_effect_does_not(rig: Rig, team: str) -> None:
    hold_the_trainer(rig, team)
    rig.kubectl.apply(asked(team))
    rig.wait_reason("phi", team, "ImagePullFailed")
    first = job_uid(rig, team)

    rig.kubectl.apply(asked(team, preferredNodes=["no-such-node"]))
    rig.wait_observed("phi", team)
    assert job_uid(rig, team) == first

    rig.kubectl.apply(asked(team, "https://example.com/better.parquet", preferredNodes=["no-such-node"]))
    rig.wait_for(lambda: job_uid(rig, team) not in ("", first), "the second run")
    rig.cluster.actors.pod_faults.clear()
    rig.wait_ready("phi", team, 90.0)
    assert runs(rig, team) == 2
    assert "better.parquet" in str(rig.get("job", "phi", team)["spec"]["template"]["spec"]["initContainers"][0])


@pytest.mark.long
def test_edit_of_the_training_configuration_starts_a_run_again_once(rig: Rig, team: str) -> None:
    def configure(rank: int) -> None:
        document = yaml.safe_load((ROOT / "config" / "tuning" / "qlora-params-template.yaml").read_text())
        document["metadata"] = {"name": "mine", "namespace": team}
        document["data"] = {key: text.replace("r: 8", f"r: {rank}") for key, text in document["data"].items()}
        rig.kubectl.apply(document)

    configure(16)
    hold_the_trainer(rig, team)
    rig.kubectl.apply(workspace("phi", team, tuning=tuning(config="mine")))
    rig.wait_reason("phi", team, "ImagePullFailed")
    first = job_uid(rig, team)

    configure(32)

    rig.wait_for(lambda: job_uid(rig, team) not in ("", first), "the second run")
    rig.cluster.actors.pod_faults.clear()
    rig.wait_ready("phi", team, 90.0)
    assert runs(rig, team) == 2
    maps = rig.kubectl.json("get", "configmaps", "-n", team, "-l", "kaito.sh/workspace=phi")["items"]
    assert ["32" in str(found["data"]) for found in maps] == [True], "the copy of the former run is gone"


@pytest.mark.long
def test_preferred_node_that_comes_to_mind_later_does_not_interrupt_a_run(rig: Rig, team: str) -> None:
    hold_the_trainer(rig, team)
    rig.kubectl.apply(asked(team))
    rig.wait_reason("phi", team, "ImagePullFailed")
    first, nodes = job_uid(rig, team), rig.worker_nodes("phi", team)
    spare = rig.bring_node("spare", labels={"apps": "phi"})
    try:
        rig.kubectl.apply(asked(team, preferredNodes=["spare"]))
        rig.wait_observed("phi", team)
        rig.cluster.actors.pod_faults.clear()

        rig.wait_ready("phi", team, 90.0)

        assert job_uid(rig, team) == first
        assert runs(rig, team) == 1
        assert rig.worker_nodes("phi", team) == nodes
    finally:
        rig.clean(team)
        rig.take_away(spare)


FAILURES = {
    "download": (
        PodFault(PodFaultKind.EXIT, container="data-downloader", exit_code=22, message="404 Not Found"),
        "404 Not Found",
    ),
    "trainer": (PodFault(PodFaultKind.EXIT, container="phi", exit_code=1, message="loss is NaN"), "loss is NaN"),
    "push": (PodFault(PodFaultKind.EXIT, container="pusher", exit_code=1, message="UNAUTHORIZED"), "UNAUTHORIZED"),
}


@pytest.mark.parametrize("step", sampled(FAILURES, every=3))
def test_step_that_fails_is_named_gives_the_gpu_back_and_can_be_asked_for_again(rig: Rig, team: str, step: str) -> None:
    fault, words = FAILURES[step]
    rig.cluster.actors.pod_faults.add(
        PodFault(fault.kind, team, container=fault.container, exit_code=fault.exit_code, message=fault.message)
    )
    rig.kubectl.apply(asked(team))

    message = rig.wait_explained("phi", team, "GPUReleased", timeout_s=90.0)

    assert f'container "{fault.container}"' in message
    assert f"exit code {fault.exit_code}, last words: {words}" in message
    assert "JobFailed" in message
    # The first look can come before the pod's last words are seen.
    assert "Job phi failed after " in rig.notes(team, "JobFailed")
    assert words in rig.notes(team, "GPUReleased")
    rig.wait_for(lambda: not rig.machines("phi", team), "the nodes being given back", 90.0)
    rig.cluster.actors.pod_faults.clear()
    rig.kubectl("annotate", "workspace", "phi", "-n", team, f"{TRY_AGAIN}=now")
    rig.wait_ready("phi", team, 90.0)
    assert rig.condition("phi", team)[1] == "TuningSucceeded"


INPUTS = {
    "urls": {"urls": ["https://example.com/a.parquet", "https://example.com/b.parquet"]},
    "image": {"image": "registry.example.com/data/set:1"},
}


@pytest.mark.long
@pytest.mark.parametrize("kind", INPUTS)
def test_data_from_urls_or_an_image_is_trained_on_without_any_privilege(rig: Rig, team: str, kind: str) -> None:
    rig.kubectl.apply(workspace("phi", team, tuning=tuning(input=INPUTS[kind])))

    rig.wait_ready("phi", team, 90.0)

    spec = rig.get("job", "phi", team)["spec"]["template"]["spec"]
    containers = [*spec["initContainers"], *spec["containers"]]
    assert [c["name"] for c in spec["containers"]] == ["pusher"]
    assert not any((c.get("securityContext") or {}).get("privileged") for c in containers)
    (secret,) = [v["name"] for v in spec["volumes"] if (v.get("secret") or {}).get("secretName") == "push"]
    assert {c["name"] for c in containers for m in c["volumeMounts"] if m["name"] == secret} == {"pusher"}
    assert rig.condition("phi", team)[1] == "TuningSucceeded"


def bring_claim(rig: Rig, team: str) -> None:
    """A claim `data` with a volume behind it."""
    capacity, modes = {"storage": "1Gi"}, ["ReadWriteOnce"]
    claim = {
        "accessModes": modes,
        "resources": {"requests": capacity},
        "storageClassName": "",
        "volumeName": f"data-{team}",
    }
    backing = {"capacity": capacity, "accessModes": modes, "hostPath": {"path": "/data"}, "storageClassName": ""}
    rig.kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"data-{team}"}, "spec": backing},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": team},
            "spec": claim,
        },
    )


def containers_run(rig: Rig, namespace: str) -> list[list[str]]:
    """Names of all containers of the Job that is there; [] while there is none, as between two runs."""
    job = rig.find("job", "phi", namespace)
    if job is None:
        return []
    spec = job["spec"]["template"]["spec"]
    return [[c["name"] for c in spec.get(kind, [])] for kind in ("initContainers", "containers")]


def test_failed_push_is_tried_again_from_the_volume_without_training_and_without_a_gpu(rig: Rig, team: str) -> None:
    bring_claim(rig, team)
    kept = {"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}
    asked_for = tuning(output={**tuning()["output"], **kept})
    faults = rig.cluster.actors.pod_faults
    faults.add(PodFault(PodFaultKind.EXIT, team, container="pusher", exit_code=1, message="503 Service Unavailable"))

    rig.kubectl.apply(workspace("phi", team, tuning=asked_for))

    def only_pushes() -> bool:
        return containers_run(rig, team) == [[], ["pusher"]]

    rig.wait_for(only_pushes, "the Job that only pushes", 90.0)
    faults.clear()  # what cannot be pulled waits, and uses up no attempt while the nodes are given back
    faults.add(PodFault(PodFaultKind.PULL, team, container="pusher"))
    rig.wait_for(lambda: not rig.machines("phi", team), "the nodes being given back", 90.0)
    faults.clear()
    rig.wait_ready("phi", team, 90.0)
    assert rig.condition("phi", team)[1] == "TuningSucceeded"
    assert runs(rig, team) == 2, "one that trained, one that pushed"


@pytest.mark.node_apis
@pytest.mark.long
def test_run_on_a_spot_node_that_is_taken_back_finds_its_checkpoints_on_the_next_node(rig: Rig, team: str) -> None:
    """The trainer goes on from them (`test/model`): they are in the claim that keeps the result, in the folder of this training."""
    bring_claim(rig, team)
    kept = {"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}
    wanted = workspace("phi", team, tuning=tuning(output={**tuning()["output"], **kept}))
    wanted["metadata"]["annotations"] = {"kaito.sh/capacity-type": "spot"}
    hold_the_trainer(rig, team)
    rig.kubectl.apply(wanted)
    rig.wait_reason("phi", team, "ImagePullFailed")
    ((name, node, before),) = trainers(rig, team)
    (order,) = rig.machines("phi", team)

    rig.supply.evict(order["metadata"]["name"])

    rig.wait_for(lambda: [t for t in trainers(rig, team) if t[1] not in ("", node)], "a pod on another node", 90.0)
    rig.cluster.actors.pod_faults.clear()
    rig.wait_ready("phi", team, 90.0)
    after = next(folder for pod, _, folder in trainers(rig, team) if pod != name)
    assert after == before
    assert before[0] == "data"
    assert before[1].startswith("kaito-phi_")


def trainers(rig: Rig, namespace: str) -> list[tuple[str, str, tuple[str, str]]]:
    """Pod, node, and (claim, folder) that the trainer writes to."""
    found = []
    for pod in rig.items(PODS, namespace):
        spec = pod["spec"]
        trainer = next(c for c in spec["initContainers"] if c["name"] == "phi")
        (mounted,) = [m for m in trainer["volumeMounts"] if m["name"] == "results-volume"]
        (volume,) = [v for v in spec["volumes"] if v["name"] == "results-volume"]
        claim = volume["persistentVolumeClaim"]["claimName"]
        found.append((pod["metadata"]["name"], str(spec.get("nodeName", "")), (claim, mounted["subPath"])))
    return found


@pytest.mark.long
@pytest.mark.localcluster("seven tries of a real Job controller take ten minutes of back-off")
def test_push_that_goes_on_failing_says_where_the_result_is_and_how_to_push_it(rig: Rig, team: str) -> None:
    bring_claim(rig, team)
    kept = {"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}
    rig.cluster.actors.pod_faults.add(
        PodFault(PodFaultKind.EXIT, team, container="pusher", exit_code=1, message="UNAUTHORIZED")
    )
    rig.kubectl.apply(workspace("phi", team, tuning=tuning(output={**tuning()["output"], **kept})))

    message = rig.wait_explained("phi", team, "GPUReleased", timeout_s=120.0)

    assert "What was trained is kept in PersistentVolumeClaim data; pushing it again takes no training." in message
    assert f"{TRY_AGAIN}=" in message
    rig.cluster.actors.pod_faults.clear()
    rig.kubectl("annotate", "workspace", "phi", "-n", team, f"{TRY_AGAIN}=now")
    rig.wait_ready("phi", team, 90.0)
    assert containers_run(rig, team) == [[], ["pusher"]]


@pytest.mark.long
def test_push_secret_that_is_missing_is_named_and_the_run_begins_once_it_is_there(rig: Rig, namespace: str) -> None:
    rig.kubectl.apply(workspace("phi", namespace, tuning=tuning()))

    message = rig.wait_explained("phi", namespace, "ContainerConfigInvalid", timeout_s=60.0)

    assert 'secret "push" not found' in message
    rig.kubectl("create", "secret", "generic", "push", "-n", namespace, "--from-literal=.dockerconfigjson={}")
    rig.wait_ready("phi", namespace, 90.0)


@pytest.mark.long
def test_volume_of_the_user_is_trained_on_and_only_read(rig: Rig, team: str) -> None:
    bring_claim(rig, team)
    source = {"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}

    rig.kubectl.apply(workspace("phi", team, tuning=tuning(input=source)))

    rig.wait_ready("phi", team, 90.0)
    spec = rig.get("job", "phi", team)["spec"]["template"]["spec"]
    (volume,) = [v for v in spec["volumes"] if "persistentVolumeClaim" in v]
    trainer = next(c for c in spec["initContainers"] if c["name"] == "phi")
    (mounted,) = [m for m in trainer["volumeMounts"] if m["name"] == volume["name"]]
    assert volume["persistentVolumeClaim"]["claimName"] == "data"
    assert mounted["readOnly"] is True
