"""One version, shown wherever somebody may look for it."""

from __future__ import annotations

import tomllib

import pytest
from prometheus_client import CollectorRegistry

from controller_runtime.settings import OperatorSettings, load_settings
from controller_runtime.version import VERSION, register_build_info, user_agent
from hack.render.chart import VERSION as CHART_VERSION
from hack.render.kustomize import ROOT


def test_the_distribution_and_the_chart_take_it_from_the_module() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "controller_runtime.version.VERSION"}
    assert CHART_VERSION == VERSION


def test_the_flag_prints_it_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load_settings(OperatorSettings, ["--version"], {}, env_prefix="EXAMPLE", prog="example")

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"example {VERSION}\n"


def test_requests_and_metrics_name_program_and_version() -> None:
    registry = CollectorRegistry()
    register_build_info("example", registry)

    (family,) = registry.collect()
    (sample,) = family.samples
    assert (sample.labels["program"], sample.labels["version"], sample.value) == ("example", VERSION, 1)
    assert user_agent("example") == f"example/{VERSION}"
