"""A command on a terminal of 80 columns, as a person has it: what is typed, what is seen, and the exit code."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hack.render.kustomize import ROOT, kubectl

PATIENCE_S = 60.0


def environment(kubeconfig: Path) -> dict[str, str]:
    """Of a user whose terminal can show colours."""
    return {
        "PATH": f"{Path(kubectl()).parent}:/usr/bin:/bin",
        "HOME": "/nonexistent",
        "KUBECONFIG": str(kubeconfig),
        "COLUMNS": "80",
        "TERM": "xterm-256color",
    }


class Terminal:
    """A running command and its terminal."""

    def __init__(self, pid: int, leader: int) -> None:
        self._pid, self._leader = pid, leader
        self.seen = ""

    def type(self, text: str) -> None:
        """As keys; `\x03` is Ctrl-C, `\x04` Ctrl-D."""
        os.write(self._leader, text.encode())

    def wait_for(self, pattern: str, after: int = 0) -> int:
        """Reads until `pattern` is seen behind position `after`; where it ends."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.compile(pattern, re.S).search(self.seen, after)):
            assert self._read(deadline - time.monotonic()), f"ended without {pattern}: {self.seen[after:]!r}"
        return found.end()

    def end(self) -> int:
        """Reads to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline - time.monotonic()):
            pass
        assert time.monotonic() < deadline, f"it goes on: {self.seen!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def end_by(self, key: str) -> int:
        """Types the key until the command has ended, once a second as a person does; the exit code. Python's line editor misses a signal
        that comes while it works on the key before, and then waits for the next one."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with suppress(OSError):  # it has ended meanwhile
                self.type(key)
            while self._read(1.0):
                pass
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"it goes on: {self.seen!r}")

    def _read(self, seconds: float) -> bool:
        """False at the end, and when nothing comes in time."""
        if not select.select([self._leader], [], [], max(0.0, seconds))[0]:
            return False
        try:
            piece = os.read(self._leader, 65536)
        except OSError:
            return False
        self.seen += piece.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(piece)


@contextmanager
def on_a_terminal(command: Sequence[str], kubeconfig: Path) -> Iterator[Terminal]:
    """Starts it with a terminal of its own, from which Ctrl-C reaches it. It is to be read to its `end`."""
    pid, leader = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.chdir(ROOT)
        os.execvpe(command[0], list(command), environment(kubeconfig))  # a list, no shell
    try:
        yield Terminal(pid, leader)
    finally:
        os.close(leader)  # which hangs up on a command that still runs
