"""Control groups of a cluster's nodes: the one thing that no namespace takes away by itself.

Works on the hierarchies of cgroup v1 and on v2's single one. Every cluster has a group named like its folder, every node one below it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from hack.waiting import until

ROOT = Path("/sys/fs/cgroup")
PATIENCE_S = 10.0


def hierarchies() -> list[Path]:
    """Where groups can be made: one folder with v2, one for each controller with v1."""
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in sorted(ROOT.iterdir()) if (path / "cgroup.procs").exists() and not path.is_symlink()]


def make(name: str) -> None:
    """The group in every hierarchy. cpuset's must be told its processors and memory before anything can enter."""
    for hierarchy in hierarchies():
        group = hierarchy
        for part in Path(name).parts:
            group /= part
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (group / setting).exists() and hierarchy.name == "cpuset":
                    (group / setting).write_text((group.parent / setting).read_text())


def remove(name: str) -> None:
    """The group and all below it; processes that are still inside are killed."""
    with contextlib.suppress(TimeoutError):  # What stays is told by who asks for `names`.
        until(lambda: _is_gone(name), PATIENCE_S, late=lambda _: TimeoutError(name), step_s=0.05)


def names(prefix: str) -> set[str]:
    """Groups directly below the roots whose name begins so."""
    return {path.name for hierarchy in hierarchies() for path in hierarchy.glob(f"{prefix}*") if path.is_dir()}


def _is_gone(name: str) -> bool:
    """After one attempt: a group whose processes are still ending cannot be removed yet."""
    groups = [hierarchy / name for hierarchy in hierarchies()]
    for group in itertools.chain.from_iterable(map(_below, groups)):
        _end_processes(group)
        with contextlib.suppress(OSError):
            group.rmdir()
    return not any(group.exists() for group in groups)


def _below(group: Path) -> Iterator[Path]:
    """Deepest first, the group itself last."""
    for folder, _, _ in os.walk(group, topdown=False):
        yield Path(folder)


def _end_processes(group: Path) -> None:
    try:
        processes = (group / "cgroup.procs").read_text().split()
    except OSError:
        return
    for process in processes:
        try:
            os.kill(int(process), signal.SIGKILL)
        except ProcessLookupError:
            continue
