"""Weights from an OCI artifact or image: its layers unpacked into a folder, once for each digest."""

from __future__ import annotations

import logging
from pathlib import Path

from model_runtime.errors import UserError
from model_runtime.oci.reference import parse_reference
from model_runtime.oci.registry import Registry
from model_runtime.oci.unpack import unpack
from model_runtime.weights.progress import Progress

log = logging.getLogger(__name__)

COMPLETE = ".complete"


def fetch(text: str, target: Path, progress: Progress) -> Path:
    """Pulls the artifact below `target`; returns the folder in it that holds config.json."""
    reference = parse_reference(text)
    registry = Registry(reference)
    artifact = registry.artifact()
    folder = target / artifact.digest.replace(":", "-")
    if not (folder / COMPLETE).is_file():
        with progress.watching(folder, artifact.size):
            for layer in artifact.layers:
                unpack(registry, layer, folder, folder)
        (folder / COMPLETE).write_text(artifact.digest)
    log.info("weights: %s is %s", text, artifact.digest)
    return _model_folder(text, folder)


def _model_folder(text: str, folder: Path) -> Path:
    found = sorted(folder.rglob("config.json"), key=lambda path: len(path.parts))
    if not found:
        raise UserError(
            "--weights", text, "holds no config.json in any folder", "name an artifact with a model's files"
        )
    return found[0].parent
