"""How far a download has come: in log lines and in two gauges."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

PERIOD_S = 1.0
LINES = 20
"""A line for each of so many parts of the whole."""
MIB = 2**20

Gauge = Callable[[float], None]


class Progress:
    """Looks at what lies on the disk, so that it is true for every way of fetching and after a resumption."""

    def __init__(self, total: Gauge, fetched: Gauge) -> None:
        self._total, self._fetched = total, fetched

    @contextmanager
    def watching(self, folder: Path, total_bytes: int) -> Iterator[None]:
        """Reports while the block runs."""
        self._total(total_bytes)
        done = threading.Event()
        thread = threading.Thread(target=self._watch, args=(folder, total_bytes, done), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._fetched(min(size_of(folder), total_bytes))

    def _watch(self, folder: Path, total_bytes: int, done: threading.Event) -> None:
        said = -1
        while not done.wait(PERIOD_S):
            size = min(size_of(folder), total_bytes)
            self._fetched(size)
            part = LINES * size // max(1, total_bytes)
            if part != said:
                said = part
                log.info("weights: %d of %d MiB", size // MIB, total_bytes // MIB)


def size_of(folder: Path) -> int:
    """Bytes of all files below, those half written included."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue  # renamed or removed meanwhile
    return total
