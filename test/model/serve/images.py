"""A real registry on loopback, and images put together without a daemon."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hack.envtest import binaries
from test.support.processes import Process


def crane() -> str:
    """The binary, built once per machine."""
    return str(binaries.ensure(binaries.client_tools()) / "crane")


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """`127.0.0.1:port` of go-containerregistry's registry."""
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    command = [crane(), "registry", "serve", "--address=127.0.0.1:0"]
    with Process(command, env=environment, log_dir=folder).start() as process:
        port = process.wait_for_output(r"serving on port (\d+)", 60)[1]
        yield f"127.0.0.1:{port}"


def push(image: str, files: Mapping[str, Path], folder: Path) -> None:
    """An image of one layer on no base: what has no `cp`."""
    layer = folder / "layer.tar"
    with tarfile.open(layer, "w") as archive:
        for name, path in files.items():
            archive.add(path, name)
    with Process([crane(), "append", "-f", str(layer), "-t", image], log_dir=folder).start() as process:
        assert process.wait_for_exit(120) == 0, process.output
