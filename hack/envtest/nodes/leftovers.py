"""What a cluster that was killed leaves behind: its folder and its control groups. Everything else ends with its process (`sandbox.py`).

The next start sweeps. A folder says whose it is: process id and start time, because ids come again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hack.envtest.nodes import cgroups

PREFIX = "envtest-nodes-"
OWNER = "owner"


def new_folder() -> Path:
    """A folder of this process, whose name is also that of its control groups."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / OWNER).write_text(_identity(os.getpid()))
    return folder


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this process that is gone afterwards, or, when this process is killed, after the next sweep."""
    folder = new_folder()
    try:
        yield folder
    finally:
        remove(folder)


def sweep() -> list[str]:
    """Remove what dead clusters left; their names."""
    swept = sweep_folders()
    for name in cgroups.names(PREFIX):
        if not (Path(tempfile.gettempdir()) / name).exists():
            cgroups.remove(name)
            swept.append(name)
    return swept


def sweep_folders() -> list[str]:
    """Those whose folder is still there."""
    swept = [folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if not _is_owned(folder)]
    for folder in swept:
        remove(folder)
    return [folder.name for folder in swept]


def remove(folder: Path) -> None:
    """One cluster's folder and groups."""
    cgroups.remove(folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _is_owned(folder: Path) -> bool:
    try:
        identity = (folder / OWNER).read_text()
    except OSError:
        return False
    return identity == _identity(int(identity.split()[0]))


def _identity(pid: int) -> str:
    """`<pid> <start time>`; the start time is field 22, counted behind the command's closing bracket. Only the id when it is gone."""
    try:
        return f"{pid} {Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"
    except OSError:
        return f"{pid}"
