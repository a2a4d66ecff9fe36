"""What one run of a program says, a line at a time and each with its moment, as a container runtime keeps it.

A container runtime reads a program's output from a pipe and stamps it; without stamps neither `--timestamps` nor `--since` of
`kubectl logs` could be answered. As there, a line is kept when it has ended, or has grown to 16 KiB.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

Line = tuple[str, str]
"""RFC 3339 moment and text."""
LogReader = Callable[[], list[Line]]
"""What was said since the last call; all of it at the first."""
MOST_OF_A_LINE = 16 * 1024
"""Bytes that containerd keeps as one line."""
_DRAIN_S = 1.0


class RunLog:
    """A file with a line `<moment> <text>` for each line of the program. Any number of readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pump: threading.Thread | None = None
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        weakref.finalize(self, os.close, self._file)

    def keep(self, output: IO[bytes]) -> None:
        """From now on until its end."""
        self._pump = threading.Thread(target=self._copy, args=(output,), name=f"log {self.path.name}", daemon=True)
        self._pump.start()

    def drain(self) -> None:
        """Wait until all that an ended program said is there. What it left behind elsewhere may hold the pipe; that is not waited for."""
        if self._pump is not None:
            self._pump.join(_DRAIN_S)

    def reader(self) -> LogReader:
        """Goes on when the file is removed."""
        position, rest = 0, b""

        def read() -> list[Line]:
            nonlocal position, rest
            new = os.pread(self._file, os.fstat(self._file).st_size - position, position)
            position += len(new)
            *whole, rest = (rest + new).split(b"\n")
            return [_line(raw) for raw in whole]

        return read

    def last_words(self, most: int) -> str:
        """The end of it, at most so many bytes."""
        texts = deque((text for _, text in self.reader()()), maxlen=80)
        return "".join(f"{text}\n" for text in texts).encode()[-most:].decode(errors="replace")

    def _copy(self, output: IO[bytes]) -> None:
        with output:
            while raw := output.readline(MOST_OF_A_LINE):
                os.write(self._file, f"{_stamp(time.time_ns())} ".encode() + raw.removesuffix(b"\n") + b"\n")


def _stamp(moment_ns: int) -> str:
    seconds, rest = divmod(moment_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _line(raw: bytes) -> Line:
    stamp, _, text = raw.decode(errors="replace").partition(" ")
    return stamp, text
