"""From a layer to files: a tar archive is unpacked, anything else is one file named by its title.

A layer is a stranger's archive: nothing is written outside the target, no links to outside, no devices, no ownership, and modes are
such that the next container's user can read (PEFT writes 0600, and a non-root reader would fail).
"""

from __future__ import annotations

import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath

from model_runtime.errors import UserError
from model_runtime.oci.registry import Layer, Registry

TITLE = "org.opencontainers.image.title"
_WHITEOUT = ".wh."


def unpack(registry: Registry, layer: Layer, target: Path, work: Path, below: str = "") -> list[Path]:
    """Downloads a layer into `work` and writes its files to `target`; with `below`, only what lies in that folder, without it.

    Returns what was written.
    """
    target.mkdir(parents=True, exist_ok=True)
    blob = work / f".{layer.digest.replace(':', '-')}"
    registry.download(layer, blob)
    try:
        if "tar" in layer.media_type or tarfile.is_tarfile(blob):
            return _extract(blob, target, below)
        return _single(blob, layer, target, below)
    finally:
        blob.unlink(missing_ok=True)


def _extract(blob: Path, target: Path, below: str) -> list[Path]:
    written: list[Path] = []
    with tarfile.open(blob, "r:*") as archive:
        for member in archive:
            inner = _inner(member.name, below)
            if inner is None or not member.isfile() or inner.name.startswith(_WHITEOUT):
                continue
            path = _inside(target, inner)
            source = archive.extractfile(member)
            if source is not None:
                with source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)
                path.chmod(0o644 | (stat.S_IMODE(member.mode) & 0o111))
                written.append(path)
    return written


def _single(blob: Path, layer: Layer, target: Path, below: str) -> list[Path]:
    title = layer.annotations.get(TITLE, "")
    inner = _inner(title, "") if title else None
    if inner is None:
        return []
    if below and inner.parts[0] == below:
        inner = PurePosixPath(*inner.parts[1:])
    path = _inside(target, inner)
    shutil.copyfile(blob, path)
    return [path]


def _inner(name: str, below: str) -> PurePosixPath | None:
    """`name` relative to `below`; None when it lies elsewhere or leads outside."""
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", ".")]
    if ".." in parts:
        raise UserError("layer", name, "leads outside of its folder", "build the image again, without such names")
    if below:
        if not parts or parts[0] != below:
            return None
        parts = parts[1:]
    return PurePosixPath(*parts) if parts else None


def _inside(target: Path, inner: PurePosixPath) -> Path:
    path = target / inner
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or not path.parent.resolve().is_relative_to(target.resolve()):
        raise UserError("layer", str(inner), "would be written through a link", "build the image again, without links")
    return path
