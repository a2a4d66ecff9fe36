"""A read-only client of the OCI distribution API: one manifest and its layers, with credentials from a Docker configuration.

Every byte is compared with its digest, and a layer that broke off is continued. No Docker, no daemon, no dependency.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from model_runtime.errors import UserError
from model_runtime.oci.reference import Reference

ACCEPT = ", ".join(
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]
)
TIMEOUT_S = 60.0
ATTEMPTS = 5
CHUNK = 2**20
MAX_MANIFEST_BYTES = 4 * 2**20
NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")
"""What OpenSSL says (3.0, and later) of a server that answers in plain text."""
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a manifest."""

    digest: str
    size: int
    media_type: str
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A manifest, for this platform."""

    digest: str
    layers: tuple[Layer, ...]

    @property
    def size(self) -> int:
        """Of all layers, as they are sent."""
        return sum(layer.size for layer in self.layers)


class Registry:
    """Reads one repository."""

    def __init__(self, reference: Reference, docker_configs: Sequence[Path] | None = None) -> None:
        """`docker_configs`: files with credentials, of which the first that knows the registry counts; None for the user's own."""
        self._reference = reference
        known = (
            _credentials(reference.host, c) for c in ([_docker_config()] if docker_configs is None else docker_configs)
        )
        self.basic = next((found for found in known if found), "")
        self._token = ""

    def artifact(self) -> Artifact:
        """The manifest behind the reference; of an index, the one for linux on this kind of machine."""
        content, digest = self._manifest(self._reference.version)
        if "manifests" in content:
            content, digest = self._manifest(_for_this_machine(content["manifests"], self._reference.text))
        layers = [
            Layer(x["digest"], int(x["size"]), x.get("mediaType", ""), x.get("annotations") or {})
            for x in content.get("layers", [])
        ]
        return Artifact(digest, tuple(layers))

    def download(self, layer: Layer, target: Path) -> None:
        """Writes the blob to `target`, going on where an earlier attempt stopped; raises UserError."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._append(layer, target)
            except (OSError, HTTPException) as error:
                if attempt == ATTEMPTS or isinstance(error, urllib.error.HTTPError):
                    raise self._failed(error) from error
                continue
            if target.stat().st_size >= layer.size:
                break
        if _sha256(target) != layer.digest:
            target.unlink()
            raise UserError(
                "image", self._reference.text, f"layer {layer.digest} arrived damaged", "start again to fetch it anew"
            )

    def _append(self, layer: Layer, target: Path) -> None:
        there = target.stat().st_size if target.exists() else 0
        if there >= layer.size:
            return
        headers = {"Range": f"bytes={there}-"} if there else {}
        with (
            self._open(f"/blobs/{layer.digest}", headers) as reply,
            target.open("ab" if reply.status == 206 else "wb") as file,
        ):
            while chunk := reply.read(CHUNK):
                file.write(chunk)

    def _manifest(self, version: str) -> tuple[dict[str, Any], str]:
        try:
            with self._open(f"/manifests/{version}", {"Accept": ACCEPT}) as reply:
                body = reply.read(MAX_MANIFEST_BYTES)
        except (OSError, HTTPException) as error:
            raise self._failed(error) from error
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        if version.startswith("sha256:") and version != digest:
            raise UserError(
                "image",
                self._reference.text,
                f"the registry answered with {digest}",
                "use a registry that can be trusted",
            )
        return json.loads(body), digest

    def _open(self, path: str, headers: Mapping[str, str]) -> Any:
        try:
            return self._request(path, headers)
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            if error.code != 401 or not challenge.lower().startswith("bearer"):
                raise
            self._token = self._fetch_token(dict(_CHALLENGE.findall(challenge)))
        return self._request(path, headers)

    def _request(self, path: str, headers: Mapping[str, str]) -> Any:
        try:
            return self._send(path, headers)
        except urllib.error.URLError as error:
            if not self._reference.may_be_plain or getattr(error.reason, "reason", "") not in NO_TLS:
                raise
            self._reference = replace(self._reference, plain_http=True)
        return self._send(path, headers)

    def _send(self, path: str, headers: Mapping[str, str]) -> Any:
        request = urllib.request.Request(self._reference.base_url + path, headers=dict(headers))  # noqa: S310 - http or https by construction
        authorization = f"Bearer {self._token}" if self._token else (f"Basic {self.basic}" if self.basic else "")
        if authorization:
            # Not sent on to another host when the registry redirects to its storage.
            request.add_unredirected_header("Authorization", authorization)
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 - as above

    def _fetch_token(self, challenge: Mapping[str, str]) -> str:
        realm = challenge.get("realm", "")
        if not realm.startswith(("https://", "http://" if self._reference.plain_http else "https://")):
            raise UserError(
                "image",
                self._reference.text,
                f"asks for credentials at {realm or 'no address'}",
                "use a registry with TLS",
            )
        query = urllib.parse.urlencode({k: v for k, v in challenge.items() if k in ("service", "scope")})
        request = urllib.request.Request(f"{realm}?{query}")  # noqa: S310 - checked above
        if self.basic:
            request.add_unredirected_header("Authorization", f"Basic {self.basic}")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310 - checked above
            body = json.loads(reply.read(MAX_MANIFEST_BYTES))
        return str(body.get("token") or body.get("access_token") or "")

    def _failed(self, error: Exception) -> UserError:
        status = getattr(error, "code", None)
        cure = {
            401: "mount credentials for this registry",
            403: "ask for access",
            404: "check repository, tag and digest",
        }.get(status or 0, "check the address and the network")
        return UserError("image", self._reference.text, f"could not be pulled ({error})", cure)


def _for_this_machine(manifests: list[dict[str, Any]], text: str) -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    for entry in manifests:
        platform = entry.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") == machine:
            return str(entry["digest"])
    raise UserError("image", text, f"has nothing for linux/{machine}", "build it for this kind of machine")


def _docker_config() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _credentials(host: str, config: Path) -> str:
    """Basic credentials for a host, "" without."""
    try:
        auths = json.loads(config.read_text()).get("auths", {})
    except (OSError, ValueError):
        return ""
    entry = auths.get(host) or auths.get(f"https://{host}") or auths.get(f"https://{host}/v1/") or {}
    if entry.get("auth"):
        return str(entry["auth"])
    if entry.get("username"):
        return base64.b64encode(f"{entry['username']}:{entry.get('password', '')}".encode()).decode()
    return ""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"
