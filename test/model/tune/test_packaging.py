"""P1: the result becomes an image by the operator's own two steps, and comes back byte by byte from a real registry."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.envtest.binaries import BuildFailed, client_tools, ensure
from test.model.tune.lessons import Run

pytestmark = [pytest.mark.model, pytest.mark.timeout(600)]

FILES = ("data/adapter_config.json", "data/adapter_model.safetensors")


@pytest.fixture(scope="module")
def crane() -> Path:
    """The registry client of the operator's pusher, built once per machine."""
    try:
        return ensure(client_tools()) / "crane"
    except BuildFailed as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def registry(crane: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on loopback that keeps its blobs on disk; `crane` brings it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("registry")
    command = [str(crane), "registry", "serve", "--address", address, "--disk", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address)
            yield address
        finally:
            process.terminate()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the registry did not start"
            time.sleep(0.05)


def run(*command: object, **options: object) -> bytes:
    done = subprocess.run([str(part) for part in command], capture_output=True, timeout=120, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr.decode()
    result: bytes = done.stdout
    return result


def base_image(crane: Path, registry: str, folder: Path) -> str:
    """A stand-in for the base that has `cp`: one small layer."""
    layer = folder / "base.tar"
    with tarfile.open(layer, "w") as archive:
        entry = tarfile.TarInfo("bin/cp")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"#!cp"))
    name = f"{registry}/base:1"
    run(crane, "append", "--insecure", "--new_layer", layer, "--new_tag", name)
    return name


def test_the_result_is_packed_and_pushed_by_the_operators_own_steps(
    taught_llama: Run, crane: Path, registry: str, tmp_path: Path
) -> None:
    shop = tmp_path / "packaging"
    shop.mkdir()
    (shop / "data").symlink_to(taught_llama.output)
    layer, target = tmp_path / "layer.tar", f"{registry}/adapters/lesson:1"
    run(sys.executable, "-m", "tarfile", "--create", layer, *FILES, cwd=shop)
    base = base_image(crane, registry, tmp_path)
    run(
        crane,
        "append",
        "--insecure",
        "--platform",
        "linux/amd64",
        "--base",
        base,
        "--new_layer",
        layer,
        "--new_tag",
        target,
    )

    with tarfile.open(fileobj=io.BytesIO(run(crane, "export", "--insecure", target, "-"))) as image:
        assert {member.name for member in image if member.isfile()} == {"bin/cp", *FILES}
        for name in FILES:
            member = image.getmember(name)
            content = image.extractfile(member)
            assert content is not None
            original = taught_llama.output / os.path.basename(name)
            assert hashlib.sha256(content.read()).digest() == hashlib.sha256(original.read_bytes()).digest()
            assert member.mode & 0o444 == 0o444, "an adapter's reader has another user id"


def test_the_operator_runs_exactly_these_steps() -> None:
    from kaito_controller.workloads import tuning_output
    from kaito_controller.workloads.volumes import scratch

    assert tuple(f"data/{name}" for name in tuning_output.RESULT_FILES) == FILES
    packed = tuning_output.package_container("image", scratch("results-volume", "/mnt/output"), "packager", None)
    assert packed["command"] == ["python3", "-m", "tarfile", "--create", tuning_output.LAYER, *FILES]
    pushed = tuning_output.push_container("r/target:1", "r/base:1", "crane", "pusher", None)["args"]
    assert pushed == [
        "append",
        "--platform",
        "linux/amd64",
        "--base",
        "r/base:1",
        "--new_layer",
        tuning_output.LAYER,
        "--new_tag",
        "r/target:1",
    ]
