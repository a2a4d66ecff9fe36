"""Which images have their programs on this machine, and where: the file that `--programs` names.

A file and not code, because localcluster knows no product: whoever starts it says that `registry.example.com/server:*` is this interpreter
in that folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from hack.localcluster.fromjson import STRICT, read_as


class ProgramsError(ValueError):
    """A file that cannot be read; the message names it, the field and the value."""


@dataclass(frozen=True)
class ProgramImage:
    """What an image brings: the folders of its commands, its entry point, and the variables that it sets.

    In `environment` and `entrypoint`, a path at which the container has a mount becomes the folder that is mounted.
    """

    __pydantic_config__ = STRICT

    image: str
    """Shell pattern."""
    path: list[str]
    """Folders of commands, the first that has one counts; the machine's own come after them."""
    entrypoint: list[str] = field(default_factory=list)
    working_folder: str = ""
    """Where a container without a `workingDir` of its own starts; its empty root folder when not given."""
    environment: dict[str, str] = field(default_factory=dict)


def read_images(path: Path) -> list[ProgramImage]:
    """The images of a JSON list."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ProgramsError(f"--programs {path}: {error}") from error
    return read_as(list[ProgramImage], content, ProgramsError, f"--programs {path}")


def image_of(images: Sequence[ProgramImage], name: str) -> ProgramImage | None:
    """The first whose pattern matches."""
    return next((image for image in images if fnmatchcase(name, image.image)), None)
