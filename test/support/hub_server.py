"""A server on loopback that speaks the Hugging Face hub's protocol for one repository, and can break off in the middle of a file."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors",)


class Hub:
    """What is served, and what was asked."""

    def __init__(self, repository: str, folder: Path, token: str = "") -> None:
        self.repository, self.folder, self.token = repository, folder, token
        self.break_after: int | None = None
        """Bytes after which the connection is cut, for the first file that has more; once."""
        self.damage = False
        """Large files arrive with their last byte changed."""
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.url = ""

    def siblings(self) -> list[dict[str, Any]]:
        return [self._sibling(path) for path in sorted(self.folder.iterdir())]

    def _sibling(self, path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        entry: dict[str, Any] = {"rfilename": path.name, "size": len(content), "blobId": blob}
        if path.suffix in LARGE:
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return entry


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serves until the block ends; `hub.url` is set."""

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        hub.requests.append(f"{self.command} {path}")
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._send(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, body=body)
        elif path.startswith(f"/api/models/{hub.repository}/tree/"):
            tree = [
                {"type": "file", "path": s["rfilename"], "size": s["size"], "oid": s["blobId"], **_lfs(s)}
                for s in hub.siblings()
            ]
            self._json(tree, body=body)
        elif path.startswith(f"/api/models/{hub.repository}"):
            self._json({"id": hub.repository, "sha": COMMIT, "siblings": hub.siblings()}, body=body)
        elif path.startswith(f"/{hub.repository}/resolve/{COMMIT}/"):
            self._file(hub.folder / path.rsplit("/", 1)[-1], body=body)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, body=body)

    def _json(self, content: Any, *, body: bool) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"}, body=body)

    def _file(self, path: Path, *, body: bool) -> None:
        content = path.read_bytes()
        etag = hashlib.sha256(content).hexdigest()
        large = path.suffix in LARGE
        if large and self.hub.damage:
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        status, asked = 200, self.headers.get("Range", "")
        if asked.startswith("bytes="):
            self.hub.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
        wanted = self.hub.break_after
        cut = wanted if body and wanted is not None and len(content) > wanted else None
        if cut is not None:
            self.hub.break_after = None
        self._send(status, content, headers, body=body, cut=cut)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str], *, body: bool, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()


def _lfs(sibling: dict[str, Any]) -> dict[str, Any]:
    lfs = sibling.get("lfs")
    return {"lfs": {"oid": lfs["sha256"], "size": lfs["size"], "pointerSize": 130}} if lfs else {}
