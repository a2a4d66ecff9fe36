"""The next version: one line is changed, `make manifests` is run, and nothing anywhere shows the old one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from controller_runtime.version import VERSION
from kaito_controller.catalog.entries import RUNTIME_TAG

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parents[2]
NEXT, NEXT_RUNTIME = "9.8.7", "7.6.5"
BUMPED = {
    "controller_runtime/version.py": (f'VERSION = "{VERSION}"', f'VERSION = "{NEXT}"'),
    "kaito_controller/catalog/entries.py": (f'RUNTIME_TAG = "{RUNTIME_TAG}"', f'RUNTIME_TAG = "{NEXT_RUNTIME}"'),
}
"""File → what a person changes there."""
PROGRAMS = {
    "kaito_controller": f"kaito-controller {NEXT}",
    "gpu_provisioner": f"gpu-provisioner {NEXT}",
    "kaito_controller.cli": f"kubectl-kaito, version {NEXT}",
}
TOLD = """
from prometheus_client import CollectorRegistry, generate_latest
from controller_runtime.version import register_build_info, user_agent
registry = CollectorRegistry()
register_build_info("p", registry)
print(user_agent("p"), generate_latest(registry).decode())
"""
LABEL = re.compile(r'image\.version="([^"]+)"')
HISTORY = ("CHANGELOG.md", "test/", "hack/envtest/")
"""Where older versions are named on purpose, and other projects' versions."""
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with both versions changed, and with what `make manifests` makes of it."""
    copy = tmp_path_factory.mktemp("tree") / "tree"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    for name, (old, new) in BUMPED.items():
        text = (copy / name).read_text("utf-8")
        assert old in text
        (copy / name).write_text(text.replace(old, new), "utf-8")
    for generator in ("hack.generate", "hack.render"):
        python(copy, "-m", generator)
    return copy


def python(tree: Path, *arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_tells_the_next_version(tree: Path, program: str) -> None:
    assert python(tree, "-m", program, "--version").strip() == PROGRAMS[program]


def test_requests_and_metrics_tell_the_next_version(tree: Path) -> None:
    told = python(tree, "-c", TOLD)

    assert told.startswith(f"p/{NEXT} ")
    assert f'version="{NEXT}"' in told


def test_chart_manifests_and_images_tell_the_next_version(tree: Path) -> None:
    chart = yaml.safe_load((tree / "manifests/chart/Chart.yaml").read_text())
    images = re.findall(r"image: kaito-operator:(\S+)", (tree / "manifests/install.yaml").read_text())

    assert (chart["version"], chart["appVersion"], {*images}) == (NEXT, NEXT, {NEXT})
    assert LABEL.findall((tree / "Dockerfile").read_text()) == [NEXT]


def test_the_model_runtime_has_one_version_too(tree: Path) -> None:
    tags = re.findall(
        r'"kaito-model-runtime", "tag": "([^"]+)"', (tree / "kaito_controller/catalog/data/compiled.json").read_text()
    )

    assert LABEL.findall((tree / "model_runtime/Dockerfile").read_text()) == [NEXT_RUNTIME]
    assert f'\nversion = "{NEXT_RUNTIME}"\n' in (tree / "model_runtime/pyproject.toml").read_text()
    assert {*tags} == {NEXT_RUNTIME}


def test_the_old_version_is_left_nowhere(tree: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in listed if not name.startswith((*HISTORY, ".")) and (tree / name).is_file()]
    old = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])".encode())

    assert [name for name in ours if old.search((tree / name).read_bytes())] == []
