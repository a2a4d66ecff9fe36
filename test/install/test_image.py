"""The image's content, put together by the Dockerfile's own steps without a daemon: it runs both operators, and holds nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hack.demo.installation import OPERATORS, Installation
from hack.demo.story import SAMPLES
from hack.envtest.furnished import FurnishedCluster
from hack.localcluster.cluster import LocalCluster
from hack.render.kustomize import ROOT
from test.install import dockerfile, guarded
from test.support.clusters import AnyCluster
from test.support.processes import wait_until

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

PYTHON = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
"""Without this environment's packages: only what the folder holds may be found."""


def assemble(context: Path, target: Path) -> Path:
    """What the RUN steps of the build stage do."""
    path = f"{Path(PYTHON).parent}{os.pathsep}{os.environ['PATH']}"
    for step in dockerfile.words(dockerfile.BUILD, "RUN"):
        command = [str(target) if word == dockerfile.APP else word for word in step]
        reply = subprocess.run(
            command, cwd=context, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert reply.returncode == 0, reply.stderr
    return target


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage has copied from the tree, and nothing else of it."""
    folder = tmp_path_factory.mktemp("context")
    for words in dockerfile.words(dockerfile.BUILD, "COPY"):
        *sources, target = words
        for source in sources:
            if (ROOT / source).is_dir():
                unwanted = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, folder / target, ignore=unwanted)
            else:
                shutil.copy2(ROOT / source, folder / target)
    return folder


@pytest.fixture(scope="module")
def app(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assemble(context, tmp_path_factory.mktemp("image") / "app")


def environment(app: Path) -> dict[str, str]:
    """What the last stage sets."""
    return {name: value.replace(dockerfile.APP, str(app)) for name, value in dockerfile.environment().items()}


def run(app: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the folder as its only packages, as in the image."""
    return subprocess.run(
        [PYTHON, "-s", *arguments], cwd=app.parent, env=environment(app), capture_output=True, text=True, check=False
    )


def digests(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of every file but certifi's bundle, to which some machines add an authority of their own after the installation."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "cacert.pem")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(
    ("module", "flag"), [("kaito_controller", "--preset-registry-name"), ("gpu_provisioner", "--subscription-id")]
)
def test_both_binaries_start_and_describe_their_flags(app: Path, module: str, flag: str) -> None:
    reply = run(app, "-m", module, "--help")

    assert reply.returncode == 0, reply.stderr
    assert flag in reply.stdout


def test_the_catalogue_is_inside(app: Path) -> None:
    program = """
from kaito_controller.catalog.loader import load_catalog
catalog = load_catalog()
print("falcon-7b" in catalog.presets, len(catalog.instance_types) > 50)
"""
    reply = run(app, "-c", program)

    assert reply.stdout == "True True\n", reply.stderr


def test_nothing_that_builds_or_tests_is_inside(app: Path) -> None:
    present = {path.name for path in app.iterdir()}

    assert {"controller_runtime", "gpu_provisioner", "kaito_controller"} <= present
    assert not present & {"pip", "setuptools", "wheel", "pytest", "mypy", "hack", "test", "bin"}
    assert not list(app.rglob("__pycache__"))


def test_the_user_of_the_image_who_owns_nothing_can_read_everything(app: Path) -> None:
    wanted = {True: 0o005, False: 0o004}

    closed = [str(path) for path in app.rglob("*") if path.stat().st_mode & (need := wanted[path.is_dir()]) != need]
    assert not closed


def test_two_builds_of_the_same_tree_have_the_same_bytes(app: Path, context: Path, tmp_path: Path) -> None:
    again = assemble(context, tmp_path / "somewhere-else")

    first, second = digests(app), digests(again)
    assert {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)} == set()


def interpreter(app: Path) -> tuple[str, ...]:
    """Python as the image runs it."""
    variables = (f"{name}={value}" for name, value in environment(app).items())
    return ("/usr/bin/env", *variables, PYTHON, "-s")


def test_both_operators_from_the_image_guard_their_metrics(app: Path, tmp_path: Path) -> None:
    with (
        LocalCluster(time_scale=300, directory=tmp_path / "cluster", rbac=True) as cluster,
        guarded.installed(cluster, tmp_path, interpreter(app)) as scraper,
    ):
        for operator in OPERATORS:
            assert scraper.status(operator)[0] == 401
            assert scraper.status(operator, scraper.token(guarded.STRANGER))[0] == 403
            assert scraper.status(operator, scraper.token(guarded.PROMETHEUS))[0] == 200


def run_quickstart(cluster: AnyCluster, app: Path, folder: Path) -> None:
    """Install as shipped, start both operators from `app`, and see a Workspace through its life."""
    settings = {"gpu-provisioner": ["--time-scale=300"]}
    with Installation(cluster.kubeconfig, folder, cluster.environment, interpreter(app), settings) as product:
        product.install()
        product.start_operators()

        product.apply((SAMPLES / "inference-phi-3-mini.yaml").read_text())

        def ready() -> bool:
            (workspace,) = product.objects("workspace")
            conditions = workspace.get("status", {}).get("conditions", [])
            return any(c["type"] == "WorkspaceReady" and c["status"] == "True" for c in conditions)

        wait_until(ready, 120, "the Workspace to be ready")
        product.kubectl("delete", "workspace", "--all", "--timeout=60s")


def test_both_operators_from_the_image_run_a_quickstart_with_the_shipped_settings(app: Path, tmp_path: Path) -> None:
    with LocalCluster(time_scale=300, directory=tmp_path / "cluster", rbac=True) as cluster:
        run_quickstart(cluster, app, tmp_path)


@pytest.mark.envtest
def test_both_operators_from_the_image_run_a_quickstart_on_a_real_control_plane(app: Path, tmp_path: Path) -> None:
    with FurnishedCluster(time_scale=300, directory=tmp_path / "cluster") as cluster:
        run_quickstart(cluster, app, tmp_path)
