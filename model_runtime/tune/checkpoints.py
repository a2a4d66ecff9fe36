"""Checkpoints that can be trusted after a kill at any moment, and the identity of the run that they belong to.

The libraries write a checkpoint file by file, so one that a kill cut short looks like any other. A seal is written last, with the sizes of
all files and the run that made them; only a sealed checkpoint of the same run is resumed. What differs in data, base or configuration is
another run: it starts from the beginning.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PREFIX = "checkpoint-"
SEAL = "complete.json"


def run_identity(configuration: Mapping[str, Any], data: str, base: str, processes: int) -> str:
    """A digest of everything that the trained adapter depends on."""
    text = json.dumps([configuration, data, base, processes], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(folder: Path, run: str, step: int) -> None:
    """Declares the checkpoint complete; either the whole seal is there or none."""
    content = {"run": run, "step": step, "files": _sizes(folder)}
    draft = folder / f"{SEAL}.partial"
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(folder / SEAL)


def newest(output: Path, run: str) -> tuple[Path, int] | None:
    """The checkpoint to go on from and its step; None to start from the beginning."""
    found = [(step, folder) for folder, step in _sealed(output, run)]
    if not found:
        return None
    step, folder = max(found)
    return folder, step


def _sealed(output: Path, run: str) -> Iterator[tuple[Path, int]]:
    for folder in output.glob(f"{PREFIX}*"):
        try:
            told = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if told.get("run") == run and told.get("files") == _sizes(folder):
            yield folder, int(told["step"])


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if not path.name.startswith(SEAL)}
