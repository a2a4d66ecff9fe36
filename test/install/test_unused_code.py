"""The reviewed list of `vulture` names what is really unused as far as it can see, and nothing else."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

from vulture.core import Vulture

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["vulture"]


def test_no_name_of_the_reviewed_list_is_there_in_vain() -> None:
    vulture = Vulture()
    vulture.scavenge([str(ROOT / path) for path in SETTINGS["paths"]])
    unused = {item.name for item in vulture.get_unused_code()}

    assert [name for name in SETTINGS["ignore_names"] if not any(fnmatchcase(found, name) for found in unused)] == []
