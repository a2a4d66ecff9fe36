"""The operator's packaging and push, step by step as its pods do them, against a registry on loopback."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from test.support.processes import wait_until

FILES = ("data/adapter_config.json", "data/adapter_model.safetensors")


@contextmanager
def serving_registry(crane: Path, folder: Path) -> Iterator[str]:
    """The address of a registry that keeps its blobs in `folder`; `crane` brings it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [str(crane), "registry", "serve", "--address", address, "--disk", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(address)
            yield address
        finally:
            process.terminate()


def push(result: Path, target: str, crane: Path, registry: str, folder: Path) -> None:
    """One layer with the result below `data/`, appended to a base and pushed as `target`."""
    shop = folder / "packaging"
    shop.mkdir()
    (shop / "data").symlink_to(result)
    layer = folder / "layer.tar"
    run(sys.executable, "-m", "tarfile", "--create", layer, *FILES, cwd=shop)
    base = base_image(crane, registry, folder)
    platform = ("--platform", "linux/amd64")
    run(crane, "append", "--insecure", *platform, "--base", base, "--new_layer", layer, "--new_tag", target)


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


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")

    def answers() -> bool:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True

    wait_until(answers, 30, "the registry's first connection")
