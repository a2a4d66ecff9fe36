"""The tuning Job: order of steps, what each step sees, how failures end it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kaito_controller.workloads import (
    build_objects,
    build_tuning_config_map,
    build_tuning_job,
    build_workload,
    pinned_nodes,
    tuning_steps,
)
from test.unit.kaito_controller.workloads.cases import (
    CASES,
    CATALOG,
    DATA_URL,
    QLORA,
    all_containers,
    container,
    context,
    job,
    mount_paths,
    pod_spec,
    private,
    tuning,
    workspace,
)


@pytest.mark.parametrize(
    ("data", "first"),
    [
        ({"urls": [DATA_URL]}, ["data-downloader"]),
        ({"image": "registry.example.com/data:1"}, ["data-extractor"]),
        ({"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}}, []),
    ],
)
def test_each_step_runs_only_after_the_one_before(data: dict[str, Any], first: list[str]) -> None:
    spec = pod_spec(job(data))
    assert [item["name"] for item in spec["initContainers"]] == [*first, "tune", "packager"]
    assert [item["name"] for item in spec["containers"]] == ["pusher"]
    assert spec["restartPolicy"] == "Never"


def test_names_of_the_steps_are_known_without_the_job() -> None:
    steps = tuning_steps("pusher")
    assert (steps.data, steps.train, steps.package, steps.push) == ("data-downloader", "pusher", "packager", "pusher-2")


def test_only_the_trainer_holds_gpus_and_runs_one_process_for_each() -> None:
    built = job(preset="falcon-40b", gpus_per_pod=2)
    trainer = container(built, "tune")
    assert trainer["command"] == ["accelerate", "launch"]
    assert trainer["args"] == [
        "--gpu_ids=all",
        "--machine_rank=0",
        "--num_machines=1",
        "--num_processes=2",
        "fine_tuning.py",
    ]
    holders = [
        item["name"]
        for item in all_containers(pod_spec(built))
        if "nvidia.com/gpu" in item["resources"].get("limits", {})
    ]
    assert holders == ["tune"]


@pytest.mark.parametrize("name", sorted(name for name, preset in CATALOG.presets.items() if preset.tuning))
def test_phi_3_is_told_which_layers_to_adapt_and_others_choose_themselves(name: str) -> None:
    env = {entry["name"]: entry["value"] for entry in container(job(preset=name), "tune").get("env", [])}
    expected = "k_proj,q_proj,v_proj,o_proj,gate_proj,down_proj,up_proj" if name.startswith("phi-3") else None
    assert env.get("DEFAULT_TARGET_MODULES") == expected


def test_the_push_secret_is_seen_by_the_pusher_only() -> None:
    built = job()
    holders = [item["name"] for item in all_containers(pod_spec(built)) if "docker-config" in mount_paths(item)]
    assert holders == ["pusher"]
    (volume,) = [item for item in pod_spec(built)["volumes"] if item["name"] == "docker-config"]
    assert volume["secret"]["items"] == [{"key": ".dockerconfigjson", "path": "config.json"}]
    pusher = container(built, "pusher")
    assert pusher["env"] == [{"name": "DOCKER_CONFIG", "value": mount_paths(pusher)["docker-config"]}]


def test_no_step_is_privileged_and_helpers_run_as_non_root() -> None:
    built = job()
    for item in all_containers(pod_spec(built)):
        assert item["securityContext"]["allowPrivilegeEscalation"] is False
        assert item["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for name in ("data-downloader", "pusher"):
        assert container(built, name)["securityContext"]["runAsNonRoot"] is True
        assert container(built, name)["securityContext"]["readOnlyRootFilesystem"] is True


def test_helper_images_are_pinned_by_digest_and_can_be_mirrored() -> None:
    built = job()
    pusher = container(built, "pusher")
    assert all("@sha256:" in image for image in (pusher["image"], pusher["args"][4]))


def test_the_job_runs_on_its_own_node_and_tolerates_gpu_taints() -> None:
    built = job(node_names=("gpu-7",))
    assert pinned_nodes(built) == ("gpu-7",)
    keys = {toleration["key"] for toleration in pod_spec(built)["tolerations"]}
    assert keys == {"nvidia.com/gpu", "sku", "kubernetes.azure.com/scalesetpriority"}


def test_retries_are_bounded_disruptions_are_free_and_hopeless_failures_final() -> None:
    spec = job()["spec"]
    assert spec["backoffLimit"] == 2
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "pusher", "operator": "NotIn", "values": [0]}},
        {
            "action": "FailJob",
            "onExitCodes": {"containerName": "data-downloader", "operator": "In", "values": [1, 3, 22]},
        },
    ]
    assert "activeDeadlineSeconds" not in spec
    assert job(tuning_deadline_s=60)["spec"]["activeDeadlineSeconds"] == 60


def test_rules_name_only_containers_that_exist() -> None:
    built = job({"image": "registry.example.com/data:1"})
    names = {item["name"] for item in all_containers(pod_spec(built))}
    rules = built["spec"]["podFailurePolicy"]["rules"]
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} <= names


def test_pull_secrets_of_all_images_are_merged_once_each() -> None:
    data = {"image": "registry.example.com/data:1", "imagePullSecrets": ["data", "push"]}
    subject = workspace(tuning={**tuning(data), "preset": private("mistral-7b")})
    secrets = pod_spec(build_tuning_job(context(subject)))["imagePullSecrets"]
    assert [secret["name"] for secret in secrets] == ["data", "push", "models"]


def test_the_job_mounts_the_config_map_that_is_created_before_it() -> None:
    ctx = context(workspace("tune", tuning=tuning()))
    objects = build_objects(ctx)
    assert [obj["kind"] for obj in objects] == ["Service", "ConfigMap", "Job"]
    (volume,) = [item for item in pod_spec(objects[2])["volumes"] if item["name"] == "config-volume"]
    assert volume["configMap"]["name"] == objects[1]["metadata"]["name"]
    assert objects[1]["immutable"] is True
    other = context(ctx.workspace, tuning_config={**QLORA, "LoraConfig": {"r": 16}})
    assert build_tuning_config_map(other)["metadata"]["name"] != objects[1]["metadata"]["name"]


def test_a_preset_that_cannot_be_tuned_is_refused_with_its_name() -> None:
    with pytest.raises(ValueError, match="falcon-7b-instruct cannot be tuned"):
        job(preset="falcon-7b-instruct")


def test_the_optional_network_policy_selects_the_pods_of_a_tuning_run() -> None:
    folder = Path(__file__).resolve().parents[4] / "config" / "tuning-network-policy"
    policy = yaml.safe_load((folder / "policy.yaml").read_text("utf-8"))
    template = build_workload(CASES["tuning-phi-3-qlora"]())["spec"]["template"]

    wanted = policy["spec"]["podSelector"]["matchLabels"]

    assert wanted.items() <= template["metadata"]["labels"].items()
    serving = build_workload(CASES["inference-phi-3-mini"]())["spec"]["template"]
    assert not wanted.items() <= serving["metadata"]["labels"].items()
