"""The base model where the image has none: fetched as the server fetches it, from where `MODEL_RUNTIME_WEIGHTS` says.

The variables are the server's (`MODEL_RUNTIME_WEIGHTS`, `_HF_ENDPOINT`, `_HF_TOKEN_FILE`, `_WEIGHTS_FOLDER`). A configuration that names
a model of its own is left alone. Of several processes one fetches; the others wait for it and find the files verified.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from model_runtime import contract
from model_runtime.errors import UserError
from model_runtime.serve.settings import parse
from model_runtime.tune.config import TrainingConfig
from model_runtime.tune.progress import Progress
from model_runtime.weights.fetch import fetch
from model_runtime.weights.progress import Progress as Download
from model_runtime.weights.source import parse_source

VARIABLE = "MODEL_RUNTIME_WEIGHTS"
LOCK = ".lock"


def with_weights(config: TrainingConfig, environment: Mapping[str, str], progress: Progress) -> TrainingConfig:
    """The configuration with the folder of the weights, which are there when this returns; raises UserError."""
    if not environment.get(VARIABLE) or config.model.pretrained_model_name_or_path != contract.WEIGHTS_FOLDER:
        return config
    settings = parse([], {**environment, "LOCAL_RANK": "0"}).settings
    progress.update(phase="fetching")
    download = Download(
        lambda size: progress.update(weights_bytes=int(size)), lambda size: progress.update(fetched_bytes=int(size))
    )
    with _one_at_a_time(settings.weights_folder):
        folder = fetch(parse_source(settings), settings, download)
    progress.update(phase="checking")
    model = config.model.model_copy(update={"pretrained_model_name_or_path": str(folder)})
    return replace(config, model=model)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise UserError(
            "MODEL_RUNTIME_WEIGHTS_FOLDER", folder, f"cannot be written to ({error.strerror})", "mount a volume there"
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
