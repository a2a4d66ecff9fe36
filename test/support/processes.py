"""Real processes under test: start a module, wait for what it says or does, pause, stop or kill it, by its own PID only.

Output goes to a file, not to a pipe, so that a chatty child never blocks and a failing test can show what was said. Waiting is always
bounded, and a process that dies while it is waited for fails the wait at once, with the end of its output.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from hack.waiting import until

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class ProcessDied(AssertionError):
    """The process ended while something was still expected of it."""


def wait_until(
    condition: Callable[[], T], timeout_s: float = 20.0, what: str = "the condition", step_s: float = 0.02
) -> T:
    """The first truthy value of `condition`; AssertionError naming `what` and the last value after `timeout_s`."""

    def late(last: T) -> AssertionError:
        return AssertionError(f"{what} did not come true within {timeout_s:g} s; last seen: {last!r}")

    return until(condition, timeout_s, late=late, step_s=step_s)


class Process:
    """One child process in its own process group. A context manager that stops it."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        name: str = "",
        log_dir: Path | None = None,
        cwd: Path = ROOT,
        inherits: bool = True,
    ) -> None:
        """`env` is added to the test's own environment, or is all there is unless it `inherits`; the log file is kept in `log_dir` when
        that is given."""
        self.argv = list(argv)
        self.name = name or Path(self.argv[0]).name
        self.env = dict(env or {})
        self.cwd = cwd
        self.inherits = inherits
        directory = log_dir or Path(tempfile.mkdtemp(prefix="process-"))
        self.log_path = directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', self.name)}-{time.monotonic_ns()}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def module(
        cls,
        module: str,
        *args: str,
        env: Mapping[str, str] | None = None,
        log_dir: Path | None = None,
        python: str = sys.executable,
    ) -> Process:
        """`python -m module args…` with the interpreter that runs the tests, or another one."""
        return cls([python, "-m", module, *args], env=env, name=module, log_dir=log_dir)

    def start(self) -> Self:
        """Start the child; its stdout and stderr go to `log_path`."""
        environment = {**(os.environ if self.inherits else {}), "PYTHONUNBUFFERED": "1", **self.env}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self.argv, env=environment, cwd=self.cwd, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        return self

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The running (or ended) child; AssertionError before `start`."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self.child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative signal number when a signal ended it."""
        return self.child.poll()

    @property
    def output(self) -> str:
        """Everything said so far, stdout and stderr in order."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for(self, condition: Callable[[], T], timeout_s: float = 20.0, what: str = "the condition") -> T:
        """As `wait_until`, but fails at once when the process ends first."""

        def alive_and() -> T:
            value = condition()
            if not value and self.exit_code is not None:
                raise ProcessDied(f"{self.name} ended with {self.exit_code} before {what}:\n{self.output[-4000:]}")
            return value

        return wait_until(alive_and, timeout_s, f"{what} ({self.name}; its log ends: {self.output[-1500:]!r})")

    def wait_for_output(self, pattern: str, timeout_s: float = 20.0) -> re.Match[str]:
        """The first match of a regular expression in the output."""
        compiled = re.compile(pattern, re.MULTILINE)
        found = self.wait_for(lambda: compiled.search(self.output), timeout_s, f"output matching {pattern!r}")
        assert found is not None
        return found

    def wait_for_exit(self, timeout_s: float = 20.0) -> int:
        """Its exit code; AssertionError with the log when it does not end in time."""
        try:
            return self.child.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(
                f"{self.name} still runs after {timeout_s:g} s; log:\n{self.output[-4000:]}"
            ) from error

    def signal(self, number: int) -> None:
        """Send a signal to the child alone; nothing happens when it has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def pause(self) -> None:
        """SIGSTOP: the process exists but does nothing, as on a frozen machine."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self, timeout_s: float = 40.0) -> int:
        """SIGTERM, then wait: the exit code of a clean shutdown."""
        self.signal(signal.SIGTERM)
        return self.wait_for_exit(timeout_s)

    def kill(self) -> int:
        """SIGKILL: no chance to tidy up, as with the OOM killer."""
        self.signal(signal.SIGKILL)
        return self.wait_for_exit(10.0)

    def __enter__(self) -> Self:
        return self.start() if self._child is None else self

    def __exit__(self, *_: object) -> None:
        """Stop it whatever the test did: resume, SIGTERM, and SIGKILL when that is not heard within 10 s."""
        if self._child is None or self.exit_code is not None:
            return
        self.resume()
        self.signal(signal.SIGTERM)
        try:
            self.child.wait(10.0)
        except subprocess.TimeoutExpired:
            self.kill()
