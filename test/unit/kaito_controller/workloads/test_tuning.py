"""The tuning Job: order of steps, what each step sees, how failures end it, where the result lands."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kaito_controller.workloads import (
    HelperImages,
    OutputDirError,
    WorkloadContext,
    build_objects,
    build_push_job,
    build_tuning_config_map,
    build_tuning_job,
    build_workload,
    output_dir_violation,
    pinned_nodes,
    resolve_output_dir,
    trained_run,
    tuning_steps,
)
from kaito_controller.workloads.tuning_data import GUARDED, Download, download_argv, file_names
from test.unit.kaito_controller.workloads.cases import (
    CASES,
    CATALOG,
    DATA_URL,
    QLORA,
    all_containers,
    context,
    on_runtime,
    pod_spec,
    private,
    tuning,
    workspace,
)


def job(data: dict[str, Any] | None = None, preset: str = "phi-3-mini-128k-instruct", **fields: Any) -> dict[str, Any]:
    return build_tuning_job(context(workspace("tune", tuning=tuning(data, preset)), **fields))


def container(built: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [item for item in all_containers(pod_spec(built)) if item["name"] == name]
    return found


def mount_paths(item: dict[str, Any]) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in item["volumeMounts"]}


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


def test_a_users_volume_is_mounted_read_only_where_the_trainer_looks() -> None:
    built = job({"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}})
    (mount,) = [item for item in container(built, "tune")["volumeMounts"] if item["name"] == "data-volume"]
    assert mount == {"name": "data-volume", "mountPath": "/mnt/data", "readOnly": True}
    (volume,) = [item for item in pod_spec(built)["volumes"] if item["name"] == "data-volume"]
    assert volume["persistentVolumeClaim"]["claimName"] == "data"


def test_pull_secrets_of_all_images_are_merged_once_each() -> None:
    data = {"image": "registry.example.com/data:1", "imagePullSecrets": ["data", "push"]}
    subject = workspace(tuning={**tuning(data), "preset": private("mistral-7b")})
    secrets = pod_spec(build_tuning_job(context(subject)))["imagePullSecrets"]
    assert [secret["name"] for secret in secrets] == ["data", "push", "models"]


HOSTILE_URLS = ["https://a.example/x.json", "-o/etc/passwd", "http://b.example/$(HOME)/x.json#part"]
HOSTILE_FILES = [
    *("--output", "/mnt/data/x.json", "--url", "https://a.example/x.json"),
    *("--output", "/mnt/data/data", "--url", "-o/etc/passwd"),
    *("--output", "/mnt/data/2-x.json", "--url", "http://b.example/$$(HOME)/x.json#part"),
]


def test_urls_reach_curl_as_values_with_names_of_our_own() -> None:
    argv = download_argv(HOSTILE_URLS, Download("curl", with_curl=True, allowed=(), cluster_domain="k8s.local"))
    assert argv[:2] == ["curl", "--disable"]
    assert argv[argv.index("--proto") + 1] == argv[argv.index("--proto-redir") + 1] == "=http,https"
    assert {"--globoff", "--fail", "--fail-early", "--location"} <= set(argv)
    assert argv[-12:] == HOSTILE_FILES


def test_urls_reach_the_guarded_downloader_the_same_way_after_what_the_administrator_allows() -> None:
    argv = download_argv(
        HOSTILE_URLS,
        Download("model", with_curl=False, allowed=("data.example.com", "10.1.0.0/16"), cluster_domain="k8s.local"),
    )
    told = ["--allow", "data.example.com", "--allow", "10.1.0.0/16", "--cluster-domain", "k8s.local"]
    assert argv == [*GUARDED, *told, *HOSTILE_FILES]


def test_data_is_downloaded_by_the_model_image_unless_one_with_curl_is_set() -> None:
    plain, other = job(), job(images=HelperImages(curl="mirror/curl:1"))
    assert container(plain, "data-downloader")["image"] == container(plain, "tune")["image"]
    assert container(other, "data-downloader")["image"] == "mirror/curl:1"
    assert container(other, "data-downloader")["command"][0] == "curl"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (DATA_URL, "train-00000-of-00001.parquet"),
        ("https://x.example/get?file=rows.csv&raw=1", "get_file_rows.csv_raw_1"),
        ("https://x.example/", "data"),
        ("https://x.example", "data"),
        ("https://x.example/a/../../etc/passwd", "passwd"),
        ("https://x.example/..%2f..%2fetc", "etc"),
        ("https://x.example/-rf", "rf"),
        ("https://x.example/.hidden.json", "hidden.json"),
        ("https://x.example/" + "a" * 300 + ".json", "a" * 195 + ".json"),
        ("https://[::1", "data"),
    ],
)
def test_file_names_keep_what_tells_the_trainer_the_format(url: str, name: str) -> None:
    assert file_names([url]) == [name]


@given(st.lists(st.one_of(st.text(max_size=30), st.sampled_from(["https://x/a.csv", "https://x/2-a.csv"])), max_size=8))
def test_file_names_are_all_different(urls: list[str]) -> None:
    assert len(set(file_names(urls))) == len(urls)


@pytest.mark.parametrize(
    ("written", "resolved"),
    [
        (None, "/mnt/output"),
        ("", "/mnt/output"),
        ("/mnt/results", "/mnt/results"),
        ("/mnt/results/", "/mnt/results"),
        ("results", "/mnt/results"),
        ("./a//b/../c", "/mnt/a/c"),
        ("/results", "/mnt/results"),
        ("/mnt/a/../b", "/mnt/b"),
    ],
)
def test_output_dir_resolves_to_a_folder_below_mnt(written: str | None, resolved: str) -> None:
    config = {} if written is None else {"TrainingArguments": {"output_dir": written}}
    assert resolve_output_dir(config) == resolved
    assert output_dir_violation(config) is None


@pytest.mark.parametrize(
    "written",
    [
        *("/mnt", "/mnt/", ".", "..", "../mntx", "/mnt/../etc"),
        *("/mnt/data", "data/x", "/mnt/config/..//config", "adapter"),
        *("a:b", "a\nb", 7, "x" * 513),
    ],
)
def test_an_output_dir_that_leaves_mnt_or_collides_is_refused_with_the_cure(written: Any) -> None:
    config = {"TrainingArguments": {"output_dir": written}}
    with pytest.raises(OutputDirError):
        resolve_output_dir(config)
    assert "/mnt/output" in str(output_dir_violation(config))


@given(st.text(st.sampled_from("/.amnt~dox"), max_size=20))
def test_no_output_dir_escapes(written: str) -> None:
    try:
        resolved = resolve_output_dir({"TrainingArguments": {"output_dir": written}})
    except OutputDirError:
        return
    assert resolved.startswith("/mnt/")
    assert ".." not in resolved.split("/")
    assert resolved.split("/")[2] not in {"", "data", "config", "adapter"}


@pytest.mark.parametrize("written", ["/mnt/results", "results/deep", "", None])
def test_the_trainer_writes_exactly_where_the_results_volume_is_mounted(written: str | None) -> None:
    config = {**QLORA, "TrainingArguments": {"output_dir": written, "seed": 7}}
    ctx = context(workspace("tune", tuning=tuning()), tuning_config=config)
    content = yaml.safe_load(build_tuning_config_map(ctx)["data"]["training_config.yaml"])["training_config"]
    mounted = mount_paths(container(build_tuning_job(ctx), "tune"))["results-volume"]
    assert content["TrainingArguments"] == {"output_dir": mounted, "seed": 7}
    assert content["LoraConfig"] == QLORA["LoraConfig"]


def test_the_job_mounts_the_config_map_that_is_created_before_it() -> None:
    ctx = context(workspace("tune", tuning=tuning()))
    objects = build_objects(ctx)
    assert [obj["kind"] for obj in objects] == ["Service", "ConfigMap", "Job"]
    (volume,) = [item for item in pod_spec(objects[2])["volumes"] if item["name"] == "config-volume"]
    assert volume["configMap"]["name"] == objects[1]["metadata"]["name"]
    assert objects[1]["immutable"] is True
    other = context(ctx.workspace, tuning_config={**QLORA, "LoraConfig": {"r": 16}})
    assert build_tuning_config_map(other)["metadata"]["name"] != objects[1]["metadata"]["name"]


def run_packager(folder: Path, ctx: WorkloadContext) -> subprocess.CompletedProcess[str]:
    """Run the packager's own arguments, its working folder moved into `folder`."""
    packager = container(build_tuning_job(ctx), "packager")
    argv = [text.replace(packager["workingDir"], str(folder)) for text in packager["command"]]
    return subprocess.run([sys.executable, *argv[1:]], cwd=folder, capture_output=True, text=True, check=False)


def test_the_layer_holds_the_adapter_where_adapter_images_are_copied_from(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "layer").mkdir()
    (tmp_path / "data" / "adapter_config.json").write_text("{}")
    (tmp_path / "data" / "adapter_model.safetensors").write_text("weights")
    (tmp_path / "data" / "checkpoint-1").mkdir()
    assert run_packager(tmp_path, context(workspace(tuning=tuning()))).returncode == 0
    with tarfile.open(tmp_path / "layer" / "layer.tar") as layer:
        assert layer.getnames() == ["data/adapter_config.json", "data/adapter_model.safetensors"]


def test_a_run_without_a_result_fails_the_packager(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "layer").mkdir()
    ran = run_packager(tmp_path, context(workspace(tuning=tuning())))
    assert ran.returncode != 0
    assert "adapter_config.json" in ran.stderr


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


def kept_in(claim: str) -> WorkloadContext:
    asked = tuning()
    asked["output"] |= {"volumeSource": {"persistentVolumeClaim": {"claimName": claim}}}
    return context(workspace("phi", tuning=asked))


def test_a_result_that_is_kept_is_packed_into_a_folder_of_its_own_in_the_claim() -> None:
    spec = pod_spec(build_tuning_job(kept_in("results")))

    (volume,) = [v for v in spec["volumes"] if v["name"] == "layer-volume"]
    assert volume["persistentVolumeClaim"] == {"claimName": "results"}
    found = {c["name"]: m for c in all_containers(spec) for m in c["volumeMounts"] if m["name"] == volume["name"]}
    assert {name: m["subPath"] for name, m in found.items()} == {"packager": "kaito-phi", "pusher": "kaito-phi"}
    assert found["pusher"]["readOnly"] is True
    assert "readOnly" not in found["packager"]


def results_mounts(ctx: WorkloadContext) -> dict[str, tuple[str, str]]:
    """Path and folder of the results volume by container."""
    spec = pod_spec(build_tuning_job(ctx))
    (volume,) = [v for v in spec["volumes"] if v["name"] == "results-volume"]
    assert volume["persistentVolumeClaim"] == {"claimName": "results"}
    return {
        c["name"]: (m["mountPath"], m["subPath"])
        for c in all_containers(spec)
        for m in c["volumeMounts"]
        if m["name"] == volume["name"]
    }


def test_checkpoints_are_kept_in_the_claim_where_the_pod_on_the_next_node_finds_them() -> None:
    first, second = (
        results_mounts(kept_in("results")),
        results_mounts(replace(kept_in("results"), node_names=("next",))),
    )

    assert first == second
    assert first["phi"][0] == "/mnt/results"
    assert first["packager"] == ("/packaging/data", first["phi"][1])
    assert "pusher" not in first
    assert first["phi"][1].startswith("kaito-phi_")


def test_another_training_has_a_folder_of_its_own_for_its_checkpoints() -> None:
    config = {"TrainingArguments": {"num_train_epochs": 9}}

    folders = {
        results_mounts(ctx)["phi"][1] for ctx in (kept_in("results"), replace(kept_in("results"), tuning_config=config))
    }

    assert len(folders) == 2


def test_a_push_alone_has_the_training_jobs_pusher_and_neither_a_gpu_nor_a_node_of_its_own() -> None:
    ctx = kept_in("results")
    trains, pushes = pod_spec(build_tuning_job(ctx)), pod_spec(build_push_job(ctx))

    assert pushes["containers"] == trains["containers"]
    assert "initContainers" not in pushes
    assert "affinity" not in pushes
    assert "nvidia.com/gpu" not in str(pushes)


def test_naming_a_volume_for_the_result_trains_nothing_again() -> None:
    assert trained_run(kept_in("results")) == trained_run(context(workspace("phi", tuning=tuning())))


def test_a_trainer_without_rights_may_write_into_the_claim_that_keeps_the_result() -> None:
    output = {
        "image": "registry.example.com/adapter:0.0.1",
        "imagePushSecret": "push",
        "volumeSource": {"persistentVolumeClaim": {"claimName": "results"}},
    }
    kept = workspace("kept", tuning=tuning(output=output))

    ours, published = pod_spec(build_tuning_job(on_runtime(kept))), pod_spec(build_tuning_job(context(kept)))

    assert ours["securityContext"]["fsGroup"] == ours["initContainers"][-1]["securityContext"]["runAsUser"]
    assert "fsGroup" not in published["securityContext"]
