"""The container contract, as the model runtime and the operators each state it, must be one."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

from kaito_controller.api.tuning_config import SECTIONS
from kaito_controller.api.types import Workspace
from kaito_controller.catalog.loader import load_catalog
from kaito_controller.catalog.model import RUNTIME_LAUNCHER
from kaito_controller.catalog.runtime_image import with_runtime_image
from kaito_controller.catalog.runtimes import MODEL_RUNTIME, PUBLISHED, RUNTIMES, Runtime
from kaito_controller.workloads import (
    PodSettings,
    WorkloadContext,
    adapters,
    build_workload,
    containers,
    pulling,
    tuning_output,
)
from kaito_controller.workloads.weights import trainer_env
from model_runtime import contract
from model_runtime.serve.settings import CLOSING_TIMEOUT_S, ServeSettings, parse
from test.unit.kaito_controller.workloads.cases import CASES, pod_spec

TOP = Path(__file__).resolve().parents[3]
KUBERNETES_GRACE_S = 30
"""Where a pod does not say."""
DOCKERFILE = (TOP / "model_runtime" / "Dockerfile").read_text()


@pytest.mark.parametrize("runtime", RUNTIMES.values(), ids=lambda runtime: runtime.name)
def test_port_and_probe_path(runtime: Runtime) -> None:
    """The runtime image also takes the place of a published one unchanged."""
    probe = containers.probes(runtime, 60)["readinessProbe"]["httpGet"]
    assert probe["port"] == contract.PORT
    assert probe["path"] in contract.HEALTH_PATHS


def test_what_the_operator_relies_on_in_the_runtime_image() -> None:
    assert MODEL_RUNTIME.health_path in contract.HEALTH_PATHS
    assert MODEL_RUNTIME.chat_path in contract.OPENAI_PATHS
    assert MODEL_RUNTIME.metrics_path == contract.METRICS_PATH
    assert MODEL_RUNTIME.progress_path == contract.PROGRESS_PATH
    assert PUBLISHED.chat_path == contract.CHAT_PATH
    assert f"USER {MODEL_RUNTIME.run_as_user}:{MODEL_RUNTIME.run_as_user}" in DOCKERFILE


def test_the_programs_that_the_operator_starts_are_in_the_image() -> None:
    for command in (pulling.PROGRAM, RUNTIME_LAUNCHER.command):
        assert command[:2] == ("python3", "-m")
        assert importlib.util.find_spec(command[2]) is not None


def test_the_variables_of_the_trainer_are_settings_of_the_runtime() -> None:
    preset = with_runtime_image(load_catalog(), "r/runtime:1").presets["phi-3-mini-4k-instruct"]
    workspace = Workspace.from_object({"metadata": {"name": "w", "namespace": "n", "uid": "1"}})
    told = trainer_env(WorkloadContext(workspace, preset, settings=PodSettings(hub_endpoint="https://hub.example.com")))
    settings = parse([], {entry["name"]: entry["value"] for entry in told}).settings
    assert settings.weights == f"hf://{preset.weights.repository}@{preset.weights.revision}"
    assert settings.hf_endpoint == "https://hub.example.com"


def test_adapter_mount_and_files() -> None:
    assert adapters.ADAPTER_ROOT == contract.ADAPTER_ROOT
    assert f"/{contract.ADAPTER_IMAGE_FOLDER}" == adapters.DATA_FOLDER
    assert set(tuning_output.RESULT_FILES) == set(contract.ADAPTER_FILES)


def test_the_readme_of_the_workloads_says_the_same() -> None:
    text = (TOP / "kaito_controller" / "workloads" / "README.md").read_text()
    for stated in (
        str(contract.PORT),
        contract.TRAINING_CONFIG,
        contract.DATA_FOLDER,
        contract.ADAPTER_ROOT,
        contract.TARGET_MODULES_VARIABLE,
    ):
        assert stated in text
    assert contract.TRAINER_PROGRAM in text


def test_sections_of_the_training_configuration() -> None:
    assert set(SECTIONS) == set(contract.TRAINING_SECTIONS)


def test_a_server_that_stops_is_done_within_the_pods_grace() -> None:
    pod = pod_spec(build_workload(CASES["runtime-phi-3-mini"]()))
    grace_s = pod.get("terminationGracePeriodSeconds", KUBERNETES_GRACE_S)
    assert ServeSettings().drain_timeout_s + CLOSING_TIMEOUT_S < grace_s


def test_every_package_is_in_the_distribution() -> None:
    packages = tomllib.loads((TOP / "model_runtime" / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {".".join(path.parent.relative_to(TOP).parts) for path in (TOP / "model_runtime").rglob("__init__.py")}
    assert set(packages) == there
