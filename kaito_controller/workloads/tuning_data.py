"""How the training data gets to /mnt/data: downloaded, copied out of an image, or mounted.

Downloads are one `curl` with one `--output` and `--url` pair per file. File names are made here from the URL, and no user string can be
taken for an option: `--url` precedes each one, globbing is off, and only http and https are spoken, also after a redirect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

from controller_runtime.resources import Object
from kaito_controller.api.types import DataSource
from kaito_controller.workloads import security
from kaito_controller.workloads.adapters import copy_argv
from kaito_controller.workloads.argv import literal
from kaito_controller.workloads.containers import helper_resources
from kaito_controller.workloads.volumes import TEMPORARY, Mounted, mounts, scratch

DATA_ROOT = "/mnt/data"
DOWNLOADER = "data-downloader"
EXTRACTOR = "data-extractor"
HOPELESS_CURL_EXITS = (1, 3, 22)
"""Scheme not spoken, URL malformed, HTTP status of 400 or more (transient ones were retried for minutes): no reason to try again."""

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


def data_volume(source: DataSource) -> Mounted:
    """What is mounted at /mnt/data: the user's volume, read-only, or a folder that an init container fills."""
    if source.volume_source is not None:
        return Mounted("data-volume", source.volume_source.to_object(), DATA_ROOT, read_only=True)
    return scratch("data-volume", DATA_ROOT)


def data_containers(source: DataSource, volume: Mounted, name: str, curl_image: str) -> list[Object]:
    """The init container that fills the folder; none for a volume."""
    if source.volume_source is not None:
        return []
    if source.image:
        return [_extractor(source.image, volume, name)]
    return [_downloader(source.urls, volume, name, curl_image)]


def curl_argv(urls: Sequence[str]) -> list[str]:
    """The download of all URLs, one after the other; the first that fails for good ends it."""
    files = [
        argument
        for url, name in zip(urls, file_names(urls), strict=True)
        for argument in ("--output", f"{DATA_ROOT}/{name}", "--url", literal(url))
    ]
    return ["curl", *_CURL_OPTIONS, *files]


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


def _downloader(urls: Sequence[str], volume: Mounted, name: str, image: str) -> Object:
    return {
        "name": name,
        "image": image,
        "command": curl_argv(urls),
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
