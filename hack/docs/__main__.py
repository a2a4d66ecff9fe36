"""`python -m hack.docs`: the documentation as a site in `build/site`.

Pages stay where their readers look for them in the tree; the site is made from a copy of all tracked pages, and of the files that they
link to, under their own paths. So a link works in the repository and on the site alike, and mkdocs fails on one that does not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "build" / "pages"


def main() -> int:
    """Copy and build; mkdocs' exit code."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for page in _tracked_pages():
        _copy(page)
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            target = (page.parent / link).resolve()
            if target.is_file():
                _copy(target)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--config-file", "hack/docs/mkdocs.yml"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def _tracked_pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split()]


def _copy(path: Path) -> None:
    target = PAGES / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


if __name__ == "__main__":
    raise SystemExit(main())
