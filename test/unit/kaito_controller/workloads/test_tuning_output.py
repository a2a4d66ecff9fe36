"""Where the result of a tuning run lands: the output folder, the layer that is pushed, and the claim that keeps it."""

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
    OutputDirError,
    WorkloadContext,
    build_push_job,
    build_tuning_config_map,
    build_tuning_job,
    output_dir_violation,
    resolve_output_dir,
    trained_run,
)
from test.unit.kaito_controller.workloads.cases import (
    QLORA,
    all_containers,
    container,
    context,
    mount_paths,
    on_runtime,
    pod_spec,
    tuning,
    workspace,
)


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
