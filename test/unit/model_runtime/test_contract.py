"""The container contract, as the model runtime and the operators each state it, must be one."""

from __future__ import annotations

import tomllib
from pathlib import Path

from kaito_controller.api.tuning_config import SECTIONS
from kaito_controller.workloads import adapters, containers, tuning_output
from model_runtime import contract

TOP = Path(__file__).resolve().parents[3]


def test_port_and_probe_path() -> None:
    probe = containers.probes(60)["readinessProbe"]["httpGet"]
    assert probe["port"] == contract.PORT
    assert probe["path"] in contract.HEALTH_PATHS


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


def test_every_package_is_in_the_distribution() -> None:
    packages = tomllib.loads((TOP / "model_runtime" / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {".".join(path.parent.relative_to(TOP).parts) for path in (TOP / "model_runtime").rglob("__init__.py")}
    assert set(packages) == there
