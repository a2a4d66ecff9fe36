"""Which adapters are mounted, at which strengths, and whether they fit the model. Reads files only; loads nothing.

KAITO 0.3 gives each adapter's strength in a variable named like its folder. Where one is given, all adapters become one model that is
always active; where none is, each adapter is a model name of its own beside the base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model_runtime.contract import ADAPTER_FILES
from model_runtime.errors import UserError

DEFAULT_STRENGTH = 1.0


@dataclass(frozen=True, slots=True)
class Adapter:
    """One folder below the mount."""

    name: str
    folder: Path
    rank: int
    base: str
    """What its configuration calls the model it was made for; a name or a path of the place where it was trained."""
    strength: float | None
    """As given by the variable; None without one."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """All adapters of a server."""

    listed: tuple[Adapter, ...] = ()

    @property
    def combined(self) -> bool:
        """Whether they are one model, always active (KAITO 0.3), because at least one has a strength."""
        return any(adapter.strength is not None for adapter in self.listed)

    @property
    def strengths(self) -> list[float]:
        """One for each adapter; what is not given is 1.0."""
        return [DEFAULT_STRENGTH if a.strength is None else a.strength for a in self.listed]

    def describe(self) -> str:
        """One line for the log."""
        if not self.listed:
            return "no adapters"
        if self.combined:
            parts = [f"{a.name} at {s:g}" for a, s in zip(self.listed, self.strengths, strict=True)]
            return f"adapters combined into one, always active: {', '.join(parts)}"
        return f"adapters as model names of their own: {', '.join(a.name for a in self.listed)}"


def find(root: Path, environment: Mapping[str, str]) -> Adapters:
    """Every folder directly below `root` that holds an adapter_config.json, by name."""
    if not root.is_dir():
        return Adapters()
    folders = sorted(path.parent for path in root.glob(f"*/{ADAPTER_FILES[0]}"))
    return Adapters(tuple(read(folder, _strength(folder.name, environment)) for folder in folders))


def read(folder: Path, strength: float | None = None) -> Adapter:
    """The adapter in `folder`; UserError when a file is missing or of another kind."""
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"adapter {folder.name}", folder, f"holds no {missing[0]}", "mount the two files that a tuning run leaves"
        )
    try:
        config = json.loads((folder / ADAPTER_FILES[0]).read_text())
        kind, rank = config["peft_type"], int(config["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"adapter {folder.name}", folder, f"has an unreadable {ADAPTER_FILES[0]} ({error})", "write it with PEFT"
        ) from error
    if kind != "LORA":
        raise UserError(f"adapter {folder.name}", kind, "is no LoRA adapter", "train with LoRA or QLoRA")
    return Adapter(folder.name, folder, rank, str(config.get("base_model_name_or_path") or ""), strength)


def _strength(name: str, environment: Mapping[str, str]) -> float | None:
    if name not in environment:
        return None
    try:
        return float(environment[name])
    except ValueError:
        raise UserError(
            f"variable {name}",
            environment[name],
            "is no strength for the adapter of that name",
            "set a number from 0 to 1",
        ) from None
