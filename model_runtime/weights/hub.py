"""Weights from the Hugging Face hub, or a mirror that speaks its protocol.

`huggingface_hub` fetches and resumes; what is added here: the revision is resolved to a commit first and everything is taken from that
commit, every file is compared with the checksum that the hub states for it, and a folder that was verified once is used again without
asking the network.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_runtime.errors import UserError
from model_runtime.serve.settings import ServeSettings
from model_runtime.weights.progress import Progress
from model_runtime.weights.source import Source

log = logging.getLogger(__name__)

VERIFIED = ".verified"
"""Holds the commit whose files were compared with their checksums."""
WANTED = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.py", "tokenizer*")
NOT_WANTED = ("original/*", "*.pth", "*.gguf", "onnx/*")
_CHUNK = 2**20


def fetch(source: Source, settings: ServeSettings, target: Path, progress: Progress) -> Path:
    """Downloads what is missing below `target`; returns the model's own folder there."""
    folder = target / source.name.replace("/", "--")
    known = _verified(folder)
    if known and known == source.revision:
        log.info("weights: %s at %s is here and verified", source.name, known)
        return folder
    info = _told(
        source, settings, lambda api: api.model_info(source.name, revision=source.revision or None, files_metadata=True)
    )
    files = [sibling for sibling in info.siblings if _is_wanted(sibling.rfilename)]
    if known != info.sha:
        log.info("weights: %s is at commit %s; pin it with hf://%s@%s", source, info.sha, source.name, info.sha)
        with progress.watching(folder, sum(file.size or 0 for file in files)):
            _download(source, settings, folder, info.sha)
        _verify(folder, files)
        (folder / VERIFIED).write_text(info.sha)
    return folder


def _verified(folder: Path) -> str:
    mark = folder / VERIFIED
    return mark.read_text().strip() if mark.is_file() else ""


def _is_wanted(name: str) -> bool:
    from huggingface_hub.utils import filter_repo_objects

    return bool(list(filter_repo_objects([name], allow_patterns=list(WANTED), ignore_patterns=list(NOT_WANTED))))


def _download(source: Source, settings: ServeSettings, folder: Path, commit: str) -> None:
    from huggingface_hub import snapshot_download

    _told(
        source,
        settings,
        lambda api: snapshot_download(
            source.name,
            revision=commit,
            local_dir=folder,
            endpoint=api.endpoint,
            token=api.token,
            allow_patterns=list(WANTED),
            ignore_patterns=list(NOT_WANTED),
            max_workers=4,
        ),
    )


def _told(source: Source, settings: ServeSettings, ask: Callable[[Any], Any]) -> Any:
    """Asks the hub; its refusals become sentences."""
    from huggingface_hub import HfApi, errors

    api = HfApi(endpoint=settings.hf_endpoint, token=_token(settings))
    try:
        return ask(api)
    except errors.GatedRepoError as error:
        cure = "accept the model's licence on the hub and name a token of that account with --hf-token-file"
        raise UserError("--weights", source.name, "is a gated repository", cure) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(
            "--weights", f"{source.name}@{source.revision}", "has no such revision", "name a commit, branch or tag"
        ) from error
    except errors.RepositoryNotFoundError as error:
        cure = "check owner and name; a private repository needs --hf-token-file"
        raise UserError("--weights", source.name, f"is not on {settings.hf_endpoint}", cure) from error
    except (errors.HfHubHTTPError, OSError) as error:
        cure = "check the network and --hf-endpoint; the next start goes on where this one stopped"
        raise UserError("--weights", source.name, f"could not be fetched ({_first_line(error)})", cure) from error


def _token(settings: ServeSettings) -> str | bool:
    if settings.hf_token_file is None:
        return False
    try:
        return settings.hf_token_file.read_text().strip()
    except OSError as error:
        raise UserError(
            "--hf-token-file", settings.hf_token_file, f"cannot be read ({error.strerror})", "mount the secret there"
        ) from error


def _verify(folder: Path, files: list[Any]) -> None:
    for file in files:
        path = folder / file.rfilename
        expected, actual = _checksums(path, file)
        if expected != actual:
            path.unlink(missing_ok=True)
            raise UserError(
                "--weights",
                file.rfilename,
                "differs from the hub's checksum and was removed",
                "start again to fetch it anew",
            )


def _checksums(path: Path, file: Any) -> tuple[str, str]:
    """(stated by the hub, of the file): SHA-256 for large files, git's blob hash for the others."""
    lfs = getattr(file, "lfs", None)
    if lfs is not None:
        return lfs.sha256, _digest(path, hashlib.sha256())
    header = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    return file.blob_id, _digest(path, header)


def _digest(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return str(digest.hexdigest())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
