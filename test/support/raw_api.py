"""Plain HTTP to any Kubernetes API server named by a kubeconfig: status codes and bodies as they come, nothing interpreted.

The conformance suite uses it so that a bug in our own client cannot hide one in the server.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3
import yaml

from hack.waiting import until

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PATIENCE_S = 15.0


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    code: int
    body: Any
    headers: Any

    @property
    def reason(self) -> str:
        """The Status reason, "" when it is no Status."""
        return str(self.body.get("reason", "")) if isinstance(self.body, dict) else ""

    @property
    def causes(self) -> dict[str, str]:
        """Field to reason, from a Status's causes."""
        return {cause.get("field", ""): cause.get("reason", "") for cause in self.body["details"]["causes"]}

    def expect(self, code: int) -> Any:
        """The body, after checking the status code."""
        assert self.code == code, f"expected {code}, got {self.code}: {self.body}"
        return self.body


class RawApi:
    """Requests with the credentials of a kubeconfig (token or client certificate)."""

    def __init__(self, kubeconfig: Path, token: str | None = None) -> None:
        config = yaml.load(kubeconfig.read_text(), Loader=yaml.CSafeLoader)
        self._config = kubeconfig
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._files = tempfile.TemporaryDirectory()
        options: dict[str, Any] = {
            "ca_certs": self._file(cluster, "certificate-authority"),
            "cert_reqs": "CERT_REQUIRED",
        }
        self.headers = {"User-Agent": "conformance/1"}
        token = token or user.get("token")
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        else:
            options |= {"cert_file": self._file(user, "client-certificate"), "key_file": self._file(user, "client-key")}
        self.url = cluster["server"]
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=30), **options)

    def _file(self, section: dict[str, Any], name: str) -> str:
        if name in section:
            return str(section[name])
        path = Path(self._files.name) / name
        path.write_bytes(base64.b64decode(section[f"{name}-data"]))
        return str(path)

    def as_token(self, token: str) -> RawApi:
        """The same server with another credential."""
        return RawApi(self._config, token)

    def close(self) -> None:
        """Let go of sockets and files."""
        self._pool.clear()
        self._files.cleanup()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        accept: str = "application/json",
        **query: Any,
    ) -> Reply:
        """One request."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {**self.headers, "Accept": accept, **({"Content-Type": kind} if data is not None else {})}
        reply = self._pool.request(method, self._address(path, query), body=data, headers=headers)
        text = reply.data
        try:
            found = json.loads(text)
        except ValueError:
            found = text.decode(errors="replace")
        return Reply(reply.status, found, reply.headers)

    def _address(self, path: str, query: dict[str, Any]) -> str:
        pairs = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
        return f"{self.url}{path}" + (f"?{pairs}" if pairs else "")

    def get(self, path: str, **query: Any) -> Reply:
        """GET."""
        return self.call("GET", path, **query)

    def post(self, path: str, body: Any, **query: Any) -> Reply:
        """POST."""
        return self.call("POST", path, body, **query)

    def put(self, path: str, body: Any, **query: Any) -> Reply:
        """PUT."""
        return self.call("PUT", path, body, **query)

    def patch(self, path: str, body: Any, kind: str = MERGE, **query: Any) -> Reply:
        """PATCH."""
        return self.call("PATCH", path, body, kind=kind, **query)

    def apply(self, path: str, body: Any, manager: str, **query: Any) -> Reply:
        """Server-side apply."""
        return self.call("PATCH", path, body, kind=APPLY, fieldManager=manager, **query)

    def delete(self, path: str, options: Any = None, **query: Any) -> Reply:
        """DELETE."""
        return self.call("DELETE", path, options, **query)

    def table(self, path: str, **query: Any) -> dict[str, Any]:
        """A server-side Table."""
        found: dict[str, Any] = self.call("GET", path, accept=TABLE, **query).expect(200)
        return found

    def watch(
        self, path: str, *, read_s: float = PATIENCE_S, accept: str = "application/json", **query: Any
    ) -> Iterator[dict[str, Any]]:
        """The events of a watch, until the server ends it; a pause of more than `read_s` seconds is an error."""
        address = self._address(path, {"watch": "true", **query})
        timeout = urllib3.Timeout(connect=5, read=read_s)
        headers = {**self.headers, "Accept": accept}
        reply = self._pool.request("GET", address, headers=headers, preload_content=False, timeout=timeout)
        assert reply.status == 200, f"watch of {path}: {reply.status} {reply.data!r}"
        rest = b""
        try:
            for chunk in reply.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)
        finally:
            reply.close()


def eventually(probe: Callable[[], Any], wanted: Callable[[Any], bool], patience_s: float = PATIENCE_S) -> Any:
    """Probe until the result is as wanted; AssertionError with the last one after `patience_s`."""

    seen: list[Any] = []

    def look() -> bool:
        seen[:] = [probe()]
        return wanted(seen[0])

    until(
        look, patience_s, late=lambda _: AssertionError(f"not within {patience_s} s; last seen: {seen[0]}"), step_s=0.02
    )
    return seen[0]
