"""Writes `manifests/` from `config/`: install.yaml and the Helm chart. With --check, says what is stale and fails.

python -m hack.render [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path

from hack.render import chart
from hack.render.kustomize import ROOT, render, to_yaml

BANNER = "# Generated from config/ by `make manifests`; edits here are lost.\n"


def wanted() -> dict[Path, str]:
    """Every generated file and its content."""
    files = {ROOT / "manifests" / "install.yaml": BANNER + to_yaml(render("default"))}
    for name, content in chart.build().items():
        files[chart.CHART / name] = content
    return files


def main(argv: list[str]) -> int:
    files = wanted()
    present = {path for path in (ROOT / "manifests").rglob("*") if path.is_file()}
    stale = [path for path, content in files.items() if path not in present or path.read_text() != content]
    surplus = sorted(present - set(files))
    if "--check" in argv:
        for path in [*stale, *surplus]:
            print(f"stale: {path.relative_to(ROOT)}; run `make manifests` and commit the result")
        return 1 if stale or surplus else 0
    for path in surplus:
        path.unlink()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path])
    print(f"{len(stale)} files written, {len(surplus)} removed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
