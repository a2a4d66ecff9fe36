"""The folder with the weights of a source, fetched first where the source is not a folder."""

from __future__ import annotations

import os
from pathlib import Path

from model_runtime.errors import UserError
from model_runtime.serve.settings import ServeSettings
from model_runtime.weights import hub, image
from model_runtime.weights.progress import Progress
from model_runtime.weights.source import Source


def fetch(source: Source, settings: ServeSettings, progress: Progress) -> Path:
    """Blocks until the weights are there and verified; raises UserError."""
    if source.kind == "folder":
        return _existing(Path(source.name))
    target = settings.weights_folder
    _check_writable(target)
    if source.kind == "hub":
        return hub.fetch(source, settings, target, progress)
    return image.fetch(source.name, target, progress)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        cure = "mount the weights there, name another folder, or write hf://owner/name to have them downloaded"
        raise UserError("--weights", folder, "is no folder", cure)
    return folder


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            "--weights-folder", folder, f"cannot be made ({error.strerror})", "mount a volume there"
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(
            "--weights-folder", folder, "cannot be written to", "mount a volume that this user may write to"
        )
