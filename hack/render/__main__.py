"""Writes `manifests/` from `config/`: install.yaml and the Helm chart. With --check, says what is stale and fails.

python -m hack.render [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from hack.render import chart
from hack.render.kustomize import ROOT, render, to_yaml

BANNER = "# Generated from config/ by `make manifests`; edits here are lost.\n"
TARGET = ROOT / "manifests"


def wanted() -> dict[str, str]:
    """Every generated file, by its path below `manifests/`, and its content."""
    files = {"install.yaml": BANNER + to_yaml(render("default"))}
    return files | {f"chart/{name}": content for name, content in chart.build().items()}


def differences(files: Mapping[str, str], folder: Path) -> tuple[list[str], list[str]]:
    """(missing or different, surplus) in `folder`, as sorted relative paths."""
    present = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    stale = [name for name, content in files.items() if name not in present or present[name].read_text() != content]
    return sorted(stale), sorted(present.keys() - files.keys())


def main(argv: list[str]) -> int:
    files = wanted()
    stale, surplus = differences(files, TARGET)
    if "--check" in argv:
        for name in [*stale, *surplus]:
            print(f"stale: manifests/{name}; run `make manifests` and commit the result")
        return 1 if stale or surplus else 0
    for name in surplus:
        (TARGET / name).unlink()
    for name in stale:
        path = TARGET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[name])
    print(f"{len(stale)} files written, {len(surplus)} removed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
