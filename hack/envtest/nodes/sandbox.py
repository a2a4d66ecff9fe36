"""A place for processes that vanishes whole: its own PID, network, mount, IPC and host-name namespaces.

Nothing outside is touched: addresses, routes, firewall rules and mounts made inside go when the last process inside does, and that is when
this process ends, however it ends (see `init.py`). What no namespace holds, control groups and folders, is `leftovers.py`'s affair.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

INIT = Path(__file__).with_name("init.py")
COMMAND_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class SandboxError(RuntimeError):
    """A command inside failed, or the sandbox could not be made; the message holds what was said."""


class Task:
    """A long-running program inside, with the face of `subprocess.Popen` that its users need."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        """To the program: `nsenter` passes no signals on, but both are of one process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class Sandbox:
    """Start with `with Sandbox("name") as sandbox:`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder: subprocess.Popen[bytes] | None = None
        self._tasks: list[Task] = []
        self.pid = 0
        """Of its first process, as seen from outside."""

    def __enter__(self) -> Self:
        command = ["unshare", "--pid", "--net", "--mount", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(
            [*command, sys.executable, "-I", str(INIT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"ready\n":
            self.stop()
            raise SandboxError(
                "no namespaces can be made here (`unshare --pid --net --mount`): root with CAP_SYS_ADMIN is needed"
            )
        self.pid = _only_child(self._holder.pid)
        self.run("hostname", self.name)
        self.run("ip", "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process inside; everything that they had goes with them."""
        holder, self._holder = self._holder, None
        if holder is None:
            return
        assert holder.stdin
        assert holder.stdout
        holder.stdin.close()
        holder.stdout.close()
        holder.wait()
        for task in self._tasks:
            task.kill()
            task.wait(STOP_TIMEOUT_S)
        self._tasks.clear()

    @property
    def alive(self) -> bool:
        """Whether it was started and not stopped."""
        return self._holder is not None and self._holder.poll() is None

    @property
    def network(self) -> Path:
        """The file that stands for its network namespace."""
        return Path(f"/proc/{self.pid}/ns/net")

    def run(self, *command: str, stdin: str | None = None, timeout_s: float = COMMAND_TIMEOUT_S) -> str:
        """Run a short command inside; its output. SandboxError when it fails."""
        reply = subprocess.run(
            [*self.entrance(), *command], input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if reply.returncode:
            said = (reply.stderr or reply.stdout).strip()
            raise SandboxError(f"{self.name}: `{' '.join(command)}` failed: {said}")
        return reply.stdout

    def start(self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None) -> Task:
        """Start a long-running program inside; it writes to `log`."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self.entrance(), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PATH": PATH, **(environment or {})},
                start_new_session=True,
            )
        self._tasks.append(Task(process))
        return self._tasks[-1]

    def entrance(self) -> list[str]:
        """The words before a command that shall run inside."""
        return ["nsenter", f"--target={self.pid}", "--pid", "--net", "--mount", "--ipc", "--uts", "--"]


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
