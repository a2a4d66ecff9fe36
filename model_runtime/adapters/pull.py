"""`python3 -m model_runtime.adapters.pull IMAGE FOLDER`: an adapter image's files, without running the image.

The container contract of KAITO 0.3 copies an adapter with the image's own `cp`; images of later versions are a single layer on no base
and have none. This unpacks `/data` of either kind.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from model_runtime.contract import ADAPTER_FILES, ADAPTER_IMAGE_FOLDER
from model_runtime.errors import UserError, report
from model_runtime.oci.reference import parse_reference
from model_runtime.oci.registry import Registry
from model_runtime.oci.unpack import unpack

log = logging.getLogger("model_runtime.adapters.pull")


def pull(image: str, folder: Path) -> None:
    """Writes the adapter of `image` into `folder`; raises UserError when there is none in it."""
    registry = Registry(parse_reference(image))
    artifact = registry.artifact()
    with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else None) as work:
        for layer in artifact.layers:
            unpack(registry, layer, folder, Path(work), below=ADAPTER_IMAGE_FOLDER)
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        cure = f"build it with the adapter's files in /{ADAPTER_IMAGE_FOLDER}"
        raise UserError("adapter image", image, f"holds no /{ADAPTER_IMAGE_FOLDER}/{missing[0]}", cure)
    log.info("%s (%s) is in %s", image, artifact.digest, folder)


def _two(arguments: Sequence[str]) -> tuple[str, Path]:
    if len(arguments) != 2:
        raise UserError("arguments", " ".join(arguments), "are not two", "write IMAGE FOLDER")
    return arguments[0], Path(arguments[1])


def main(argv: Sequence[str] | None = None) -> int:
    """The program: exit code 1 with a sentence when the adapter cannot be had."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    arguments = sys.argv[1:] if argv is None else argv
    try:
        pull(*_two(arguments))
    except Exception as error:
        report(error, log)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
