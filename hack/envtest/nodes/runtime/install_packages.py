"""A step of the build: takes the packages bound to /packages into the image, with the two commands of theirs that pods start.

What only compiles or tests is left behind. Times are kept, because compiled files are used only with the times they were made for.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FROM = Path("/packages")
TARGET = Path("/usr/local/lib/python3.11/dist-packages")
COMMANDS_FOLDER = Path("/usr/local/bin")
COMMANDS = {"accelerate": "accelerate.commands.accelerate_cli", "torchrun": "torch.distributed.run"}
UNWANTED = (
    "_pytest",
    "pytest*",
    "pip",
    "pip-*",
    "setuptools",
    "setuptools-*",
    "uv",
    "uv-*",
    "openai",
    "openai-*",
    "xdist",
)


def unwanted(folder: str, names: list[str]) -> set[str]:
    """Of PyTorch its headers, of the rest the tests' own packages."""
    chosen = {"include"} if folder == str(FROM / "torch") else set()
    if folder == str(FROM):
        chosen = shutil.ignore_patterns(*UNWANTED)(folder, names)
    return chosen & set(names)


def main() -> None:
    shutil.copytree(FROM, TARGET, symlinks=True, ignore=unwanted, dirs_exist_ok=True)
    COMMANDS_FOLDER.mkdir(parents=True, exist_ok=True)
    for name, module in COMMANDS.items():
        command = COMMANDS_FOLDER / name
        command.write_text(f"#!/usr/bin/python3\nfrom {module} import main\n\nmain()\n")
        command.chmod(0o755)


if __name__ == "__main__":
    main()
