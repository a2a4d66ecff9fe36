"""What a run leaves in its output folder: the adapter's two files, a model card, the record of the run, and last the sentinel.

Every file is complete and readable by any user before it gets its name: it is packed by a process with another id, and PEFT writes it
for its owner alone.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from model_runtime import contract
from model_runtime.clock import Clock

RECORD = "training_run.json"
CARD = "README.md"
_READABLE = 0o644


class Adapter(Protocol):
    """A PEFT model, as far as it is saved."""

    def save_pretrained(self, save_directory: str) -> Any:
        """Writes the adapter's files into the folder."""


def is_finished(output: Path, run: str) -> bool:
    """Whether this very run has already left its whole result here."""
    try:
        record = json.loads((output / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    files = (contract.COMPLETION_FILE, *contract.ADAPTER_FILES)
    return record.get("run") == run and all((output / name).is_file() for name in files)


def clear(output: Path) -> None:
    """Takes away the result of another run, sentinel first, so that nobody takes it for this one's."""
    for name in (contract.COMPLETION_FILE, RECORD, CARD, *contract.ADAPTER_FILES):
        (output / name).unlink(missing_ok=True)


def write(output: Path, adapter: Adapter, record: Mapping[str, Any], card: str, clock: Clock) -> None:
    """Leaves the result; by one process only."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".result-") as draft:
        folder = Path(draft)
        adapter.save_pretrained(draft)
        (folder / CARD).write_text(card, encoding="utf-8")
        (folder / RECORD).write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
        for name in (*contract.ADAPTER_FILES, CARD, RECORD):
            (folder / name).chmod(_READABLE)
            (folder / name).rename(output / name)
    sentinel = output / contract.COMPLETION_FILE
    sentinel.write_text(f"Fine-Tuning completed at {clock.now():%Y-%m-%d-%H-%M-%S}\n", encoding="utf-8")
    sentinel.chmod(_READABLE)
