"""How the training data gets to /mnt/data: downloaded, copied out of an image, or mounted.

Downloads are one program with one `--output` and `--url` pair per file. It is `kaito_controller.downloader`, run by the Python of the
tuning image, and judges every address that a name or a redirect leads to; or, where an image for it was set, `curl`, which judges none.
File names are made here from the URL, and no user string can be taken for an option: `--url` precedes each one, and only http and https
are spoken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from controller_runtime.resources import Object
from kaito_controller import downloader
from kaito_controller.api.types import DataSource
from kaito_controller.workloads import security
from kaito_controller.workloads.adapters import copy_argv
from kaito_controller.workloads.containers import helper_resources, literal
from kaito_controller.workloads.pulling import ANY_FILES, credentials_volume, pull_container
from kaito_controller.workloads.volumes import TEMPORARY, Mounted, mounts, scratch

DATA_ROOT = "/mnt/data"
DOWNLOADER = "data-downloader"
EXTRACTOR = "data-extractor"
HOPELESS_CURL_EXITS = (1, downloader.EXIT_REFUSED, downloader.EXIT_STATUS)
"""Scheme not spoken, URL malformed or refused, HTTP status of 400 or more (transient ones were retried for minutes): trying is no use."""

MAX_FILE_NAME = 200
DATASET_WORDS = ("csv", "json", "parquet", "arrow", "webdataset")
"""The trainer takes the first file whose name contains one of these, and reads it as that."""

_CURL_OPTIONS = (
    "--disable",
    "--globoff",
    "--proto",
    "=http,https",
    "--proto-redir",
    "=http,https",
    "--fail",
    "--fail-early",
    "--location",
    "--max-redirs",
    "10",
    "--silent",
    "--show-error",
    "--connect-timeout",
    "30",
    "--speed-limit",
    "1024",
    "--speed-time",
    "120",
    "--retry",
    "8",
    "--retry-connrefused",
    "--retry-max-time",
    "600",
    "--remove-on-error",
)


GUARDED = ("python3", "-I", "-c", literal(downloader.SOURCE))
"""Nothing but Python's own library: neither the environment nor the working folder adds any."""


def data_volume(source: DataSource) -> Mounted:
    """What is mounted at /mnt/data: the user's volume, read-only, or a folder that an init container fills."""
    if source.volume_source is not None:
        return Mounted("data-volume", source.volume_source.to_object(), DATA_ROOT, read_only=True)
    return scratch("data-volume", DATA_ROOT)


@dataclass(frozen=True, slots=True)
class Download:
    """With what data is downloaded, and from where besides the public Internet."""

    image: str
    """Holds Python, or curl."""
    with_curl: bool
    allowed: tuple[str, ...]
    """Hosts and networks that an administrator has allowed."""
    cluster_domain: str


def data_containers(source: DataSource, volume: Mounted, name: str, download: Download) -> list[Object]:
    """The init container that fills the folder; none for a volume."""
    if source.volume_source is not None:
        return []
    if source.image:
        return [_extractor(source.image, volume, name)]
    return [_downloader(source.urls, volume, name, download)]


def pulled_data(
    source: DataSource, volume: Mounted, name: str, runtime_image: str, run_as_user: int | None
) -> tuple[Object, list[Mounted]]:
    """The init container that pulls a data image without running it, and the volume with its pull secrets."""
    credentials = credentials_volume("data-credentials", source.image_pull_secrets)
    made = pull_container(name, runtime_image, source.image, volume, credentials, run_as_user, ANY_FILES)
    return made, [credentials] if credentials else []


def download_argv(urls: Sequence[str], download: Download) -> list[str]:
    """The download of all URLs, one after the other; the first that fails for good ends it."""
    files = [
        argument
        for url, name in zip(urls, file_names(urls), strict=True)
        for argument in ("--output", f"{DATA_ROOT}/{name}", "--url", literal(url))
    ]
    if download.with_curl:
        return ["curl", *_CURL_OPTIONS, *files]
    allowed = [argument for entry in download.allowed for argument in ("--allow", literal(entry))]
    return [*GUARDED, *allowed, "--cluster-domain", literal(download.cluster_domain), *files]


def file_names(urls: Sequence[str]) -> list[str]:
    """One name per URL, all different, of letters, digits and `._-` only, never hidden and never an option."""
    names: list[str] = []
    for url in urls:
        base = name = _file_name(url)
        number = 2
        while name in names:
            name, number = f"{number}-{base}", number + 1
        names.append(name)
    return names


def _file_name(url: str) -> str:
    """The last part of the path; with the query when only that tells the kind of file. Total: any text gives a name."""
    path, _, query = url.partition("#")[0].partition("?")
    name = unquote(path.partition("://")[2].partition("/")[2].rstrip("/").rpartition("/")[2])
    if query and not any(word in name.lower() for word in DATASET_WORDS):
        name = f"{name}_{unquote(query)}"
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip("._-")[-MAX_FILE_NAME:]
    return safe.lstrip("._-") or "data"


def _downloader(urls: Sequence[str], volume: Mounted, name: str, download: Download) -> Object:
    return {
        "name": name,
        "image": download.image,
        "command": download_argv(urls, download),
        "resources": helper_resources(),
        "volumeMounts": mounts([volume, TEMPORARY]),
        "securityContext": security.helper_container(),
    }


def _extractor(image: str, volume: Mounted, name: str) -> Object:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "Always",
        "command": copy_argv(DATA_ROOT),
        "resources": helper_resources(),
        "volumeMounts": mounts([volume]),
        "securityContext": security.data_container(),
    }
