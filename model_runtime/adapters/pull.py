"""`python3 -m model_runtime.adapters.pull IMAGE FOLDER`: what an image has in `/data`, without running the image.

The container contract of KAITO 0.3 copies adapters and training data with the image's own `cp`; adapters of later versions are a single
layer on no base and have none. This unpacks `/data` of either kind.

    --credentials=FOLDER   every file below is a Docker configuration; without it, $DOCKER_CONFIG/config.json counts
    --any-files            data: the image need not hold an adapter
"""

from __future__ import annotations

import argparse
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


def pull(image: str, folder: Path, credentials: Sequence[Path] | None = None, *, any_files: bool = False) -> None:
    """Writes what `image` has in /data into `folder`; raises UserError when there is nothing, or no adapter where one is wanted."""
    registry = Registry(parse_reference(image), credentials)
    artifact = registry.artifact()
    with tempfile.TemporaryDirectory(dir=folder if folder.is_dir() else None) as work:
        for layer in artifact.layers:
            unpack(registry, layer, folder, Path(work), below=ADAPTER_IMAGE_FOLDER)
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing and not any_files:
        cure = f"build it with the adapter's files in /{ADAPTER_IMAGE_FOLDER}"
        raise UserError("adapter image", image, f"holds no /{ADAPTER_IMAGE_FOLDER}/{missing[0]}", cure)
    if not any(folder.iterdir()):
        cure = f"build it with the files in /{ADAPTER_IMAGE_FOLDER}"
        raise UserError("data image", image, f"holds nothing in /{ADAPTER_IMAGE_FOLDER}", cure)
    log.info("%s (%s) is in %s", image, artifact.digest, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="model_runtime.adapters.pull", description="Unpacks /data of an image.")
    parser.add_argument("image")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--credentials", type=Path, help="folder of Docker configurations")
    parser.add_argument("--any-files", action="store_true", help="the image need not hold an adapter")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The program: exit code 1 with a sentence when the adapter cannot be had."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    told = _parser().parse_args(argv)
    configurations = sorted(told.credentials.glob("*.json")) if told.credentials else None
    try:
        pull(told.image, told.folder, configurations, any_files=told.any_files)
    except Exception as error:
        report(error, log)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
