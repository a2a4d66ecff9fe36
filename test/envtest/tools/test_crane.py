"""The tuning result as an image, with the real crane and a real registry: exactly the commands that the Job's containers run."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from controller_runtime.resources import Object
from hack.envtest import binaries
from kaito_controller.workloads.tuning_output import (
    LAYER_VOLUME,
    RESULT_FILES,
    WORKSHOP,
    package_container,
    push_container,
)
from kaito_controller.workloads.volumes import scratch
from test.support.processes import Process

pytestmark = pytest.mark.envtest


class Crane:
    """The binary, with credentials kept away from the user's own."""

    def __init__(self, home: Path) -> None:
        self.binary = str(binaries.ensure(binaries.client_tools()) / "crane")
        self.environment = {"HOME": str(home), "DOCKER_CONFIG": str(home), "PATH": ""}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.binary, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def crane(tmp_path: Path) -> Crane:
    return Crane(tmp_path)


@pytest.fixture
def registry(crane: Crane, tmp_path: Path) -> Iterator[str]:
    """`127.0.0.1:port` of a registry that keeps its images in memory."""
    command = [crane.binary, "registry", "serve", "--address=127.0.0.1:0"]
    with Process(command, env=crane.environment, log_dir=tmp_path, cwd=tmp_path).start() as process:
        port = process.wait_for_output(r"serving on port (\d+)", 20)[1]
        yield f"127.0.0.1:{port}"


@pytest.fixture
def base_image(crane: Crane, registry: str, tmp_path: Path) -> str:
    """A tiny image for linux/amd64 with a `cp` of its own."""
    program = tmp_path / "cp"
    program.write_text("#!/bin/sh\n")
    with tarfile.open(tmp_path / "base.tar", "w") as layer:
        layer.add(program, "bin/cp")
    name = f"{registry}/base:1"
    crane("append", "--oci-empty-base", "--new_layer", str(tmp_path / "base.tar"), "--new_tag", name)
    crane("mutate", "--set-platform", "linux/amd64", "--tag", name, name)
    return name


@pytest.fixture
def workshop(tmp_path: Path) -> Path:
    """The packager's mounts: what the trainer left under `data`, room for the layer, and files that must not be packed."""
    folder = tmp_path / "workshop"
    (folder / "data").mkdir(parents=True)
    (folder / "layer").mkdir()
    for name in (*RESULT_FILES, "optimizer.pt"):
        (folder / "data" / name).write_text(f"content of {name}")
    return folder


def local(arguments: Sequence[str], workshop: Path) -> list[str]:
    """The container's command line with its mount at `workshop`, and the kubelet's `$$` escapes resolved."""
    return [argument.replace(WORKSHOP, str(workshop)).replace("$$", "$") for argument in arguments]


def package(workshop: Path) -> subprocess.CompletedProcess[str]:
    container = package_container("trainer", scratch("results", "/mnt/results"), LAYER_VOLUME, "packager", None)
    _, *arguments = local(container["command"], workshop)
    return subprocess.run([sys.executable, *arguments], cwd=workshop, capture_output=True, text=True, check=False)


def pusher(target: str, base: str) -> Object:
    return push_container(target, base, "crane", "pusher", LAYER_VOLUME, None)


def test_pushed_image_holds_the_adapter_where_an_inference_workspace_copies_it_from(
    crane: Crane, registry: str, base_image: str, workshop: Path, tmp_path: Path
) -> None:
    target = f"{registry}/team/tuned:0.0.1"
    packed = package(workshop)
    assert packed.returncode == 0, packed.stderr

    crane(*local(pusher(target, base_image)["args"], workshop))

    crane("export", target, str(tmp_path / "image.tar"))
    with tarfile.open(tmp_path / "image.tar") as image:
        files = {member.name: member for member in image.getmembers() if member.isfile()}
        assert sorted(files) == ["bin/cp", *(f"data/{name}" for name in sorted(RESULT_FILES))]
        for name in RESULT_FILES:
            content = image.extractfile(files[f"data/{name}"])
            assert content is not None
            assert content.read().decode() == f"content of {name}"
    platform = json.loads(crane("config", target))
    assert (platform["os"], platform["architecture"]) == ("linux", "amd64")


def test_missing_result_file_fails_the_packager_and_so_the_job(workshop: Path) -> None:
    (workshop / "data" / RESULT_FILES[1]).unlink()

    packed = package(workshop)

    assert packed.returncode != 0
    assert RESULT_FILES[1] in packed.stderr


def test_push_to_a_registry_that_is_not_there_fails_and_names_it(crane: Crane, base_image: str, workshop: Path) -> None:
    assert package(workshop).returncode == 0

    done = crane.run(*local(pusher("127.0.0.1:1/team/tuned:0.0.1", base_image)["args"], workshop))

    assert done.returncode != 0
    assert "127.0.0.1:1" in done.stderr
