"""Plain `vllm serve` as a child process: what our server is compared with. It gets the very arguments that ours gives vLLM."""

from __future__ import annotations

import re
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from test.support.processes import Process

_ARGUMENTS = re.compile(r"vLLM's arguments: (.+)$", re.MULTILINE)
MODULE = "vllm.entrypoints.launchers.api_server.entry"
"""What `vllm serve` runs; the command itself does not start where vLLM is installed under another name."""


def arguments_of(log: str) -> list[str]:
    """What our server told vLLM, from its log."""
    found = _ARGUMENTS.search(log)
    assert found, "our server did not start vLLM"
    return found[1].split()


@contextmanager
def serving(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], start_s: float
) -> Iterator[tuple[str, int]]:
    """Its address and its process, when it says that it is healthy."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", MODULE, "--host", "127.0.0.1", "--port", str(port), *arguments]
    with Process(
        [*command, "--disable-uvicorn-access-log"], env=environment, log_dir=folder, inherits=False
    ).start() as process:
        process.wait_for(lambda: _healthy(url), start_s, f"{url}/health to answer 200")
        yield url, process.pid


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False
