"""A server as a child process, and what tests ask of it."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test.support.processes import Process

TOP = Path(__file__).resolve().parents[3]
START_S = 240.0
"""A start takes ten seconds on an idle machine; most of it is imports."""

ANSWER_S = 60
"""The longest answer of a tiny model, on a busy machine."""


@dataclass(frozen=True)
class Answer:
    """Status, body and headers."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Server:
    """A running server."""

    process: Process
    url: str
    folder: Path

    def get(self, path: str) -> Answer:
        return _ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: Any) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return _ask(urllib.request.Request(self.url + path, content, {"content-type": "application/json"}))

    def complete(self, prompt: str, model: str | None = None, **more: Any) -> str:
        """The greedy continuation of a prompt."""
        answered = self.post("/v1/completions", {"prompt": prompt, "model": model, "temperature": 0, **more})
        assert answered.status == 200, answered.text
        return str(answered.json["choices"][0]["text"])

    def metric(self, name: str) -> float:
        """The sum over all labels of a metric."""
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert found, f"{name} is not in /metrics"
        return sum(map(float, found))

    @property
    def memory_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]


def _ask(request: urllib.request.Request) -> Answer:
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S) as reply:
            return Answer(reply.status, reply.read().decode(), dict(reply.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(), dict(error.headers))


def child(
    log_dir: Path, *flags: str, environment: Mapping[str, str] | None = None, within: Sequence[str] = ()
) -> Process:
    """The program, not yet started: on a free loopback port, its termination message in `log_dir`; `within` is put before the command.

    It has no variable of the test's own, as in a container: libraries that trained in the test's process leave some that tell of folders.
    """
    command = [*within, sys.executable, "-m", "model_runtime.serve", "--host=127.0.0.1", "--port=0", *flags]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(log_dir),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(TOP),
        "PYTHONUNBUFFERED": "1",
        "TERMINATION_LOG_PATH": str(log_dir / "termination-log"),
        **(environment or {}),
    }
    return Process(command, env=env, log_dir=log_dir, cwd=log_dir, inherits=False)


@contextmanager
def serving(
    log_dir: Path,
    *flags: str,
    environment: Mapping[str, str] | None = None,
    ready: bool = True,
    within: Sequence[str] = (),
    start_s: float = START_S,
) -> Iterator[Server]:
    """A server that listens, and answers /health with 200 unless `ready` is false."""
    with child(log_dir, *flags, environment=environment, within=within).start() as process:
        port = process.wait_for_output(r"listening on 127\.0\.0\.1:(\d+)", start_s)[1]
        server = Server(process, f"http://127.0.0.1:{port}", log_dir)
        if ready:
            process.wait_for(lambda: server.get("/health").status == 200, start_s, "/health to answer 200")
        yield server


def failed_start(
    log_dir: Path, *flags: str, environment: Mapping[str, str] | None = None, start_s: float = START_S
) -> str:
    """The termination message of a start that must fail; it is in the log too."""
    with child(log_dir, *flags, environment=environment).start() as process:
        assert process.wait_for_exit(start_s) == 1
        message = (log_dir / "termination-log").read_text()
        assert message in process.output
    return message
