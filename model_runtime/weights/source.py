"""Where the weights of a start come from, as the setting says it. The network is used for `hf://` and `oci://` and for nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from model_runtime.errors import UserError
from model_runtime.serve.settings import ServeSettings

HUB = "hf://"
OCI = ("oci://", "oci+http://")
_REPOSITORY = re.compile(r"[\w.-]+(/[\w.-]+)?")
_UNTELLING = {"weights", "model", "models", "snapshot"}
"""Folder names that say nothing about the model."""


@dataclass(frozen=True, slots=True)
class Source:
    """One place."""

    kind: Literal["folder", "hub", "oci"]
    name: str
    """Path, `owner/name`, or the reference with its scheme."""
    revision: str = ""
    """Commit, branch or tag of the hub's repository; "" means its main branch."""

    def __str__(self) -> str:
        at = f" at {self.revision}" if self.revision else ""
        return {"folder": self.name, "hub": f"the hub's {self.name}{at}", "oci": self.name}[self.kind]

    @property
    def model_name(self) -> str:
        """A name for /v1/models when none was given."""
        if self.kind == "oci":
            return self.name.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]
        path = PurePosixPath(self.name)
        return path.parent.name if path.name in _UNTELLING and path.parent.name not in ("", "/", "tfs") else path.name


def parse_source(settings: ServeSettings) -> Source:
    """The source that `--weights` names."""
    text = settings.weights
    if text.startswith(OCI):
        return Source("oci", text)
    if text.startswith(HUB):
        name, _, revision = text.removeprefix(HUB).partition("@")
        return Source("hub", _repository(name), revision or settings.revision)
    if settings.allow_remote_files and not text.startswith(("/", ".")):
        return Source("hub", _repository(text), settings.revision)
    return Source("folder", text)


def _repository(name: str) -> str:
    if not _REPOSITORY.fullmatch(name):
        raise UserError("--weights", HUB + name, "is no repository of the hub", "write hf://owner/name@revision")
    return name
