"""Images and artifacts from a registry that wants a token, breaks off, or sends what it should not; a real one is in test/model."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from model_runtime.adapters.pull import pull
from model_runtime.contract import ADAPTER_FILES
from model_runtime.errors import UserError
from model_runtime.weights import image
from model_runtime.weights.progress import MIB, Progress

TAR = "application/vnd.oci.image.layer.v1.tar"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
ADAPTER = {f"data/{name}": f"content of {name}".encode() for name in ADAPTER_FILES}


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(files: dict[str, bytes], *links: tuple[str, str]) -> bytes:
    """A tar archive of these files, after symbolic links (name, target)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, target in links:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


class Store:
    """What the registry holds, what it was asked, and how it behaves."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, str]] = []
        """Path, `Authorization` and `Range` of each request."""
        self.password = ""
        """Whoever has none reads everything."""
        self.break_after = 0
        """Bytes of the first blob that are sent before the connection ends; 0: all."""
        self.address = ""

    def put(self, *layers: bytes, tag: str = "1") -> str:
        """An image of these layers; its reference."""
        entries = [{"digest": digest(blob), "size": len(blob), "mediaType": TAR} for blob in layers]
        self.blobs |= {digest(blob): blob for blob in layers}
        manifest = json.dumps({"layers": entries}).encode()
        self.manifests |= {tag: manifest, digest(manifest): manifest}
        return f"{self.address}/a/b:{tag}"


@pytest.fixture
def store() -> Iterator[Store]:
    """A registry on loopback."""
    found = Store()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: Any) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            authorization, ranged = self.headers.get("Authorization", ""), self.headers.get("Range", "")
            found.asked.append((self.path, authorization, ranged))
            if self.path.startswith("/token"):
                allowed = authorization == f"Basic {base64.b64encode(f'user:{found.password}'.encode()).decode()}"
                self.answer(200 if allowed else 401, json.dumps({"token": "a-token"}).encode())
            elif found.password and authorization != "Bearer a-token":
                realm = f'Bearer realm="http://{found.address}/token",service="s",scope="repository:a/b:pull"'
                self.answer(401, b"", {"WWW-Authenticate": realm})
            elif self.path.startswith("/v2/a/b/manifests/"):
                body = found.manifests.get(self.path.rsplit("/", 1)[1])
                self.answer(404 if body is None else 200, body or b"")
            else:
                self.blob(found.blobs[self.path.rsplit("/", 1)[1]], ranged)

        def blob(self, content: bytes, ranged: str) -> None:
            begin = int(ranged.removeprefix("bytes=").removesuffix("-")) if ranged else 0
            cut, found.break_after = found.break_after or len(content), 0
            self.answer(206 if ranged else 200, content[begin:], {}, cut)

        def answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.address = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield found
        server.shutdown()


def pulled(folder: Path) -> dict[str, bytes]:
    return {f"data/{path.name}": path.read_bytes() for path in folder.iterdir()}


def credentials(folder: Path, store: Store, password: str) -> list[Path]:
    auths = {"auths": {store.address: {"username": "user", "password": password}}}
    (folder / "config.json").write_text(json.dumps(auths))
    return [folder / "config.json"]


def test_a_registry_that_wants_a_token_gets_it_for_the_credentials_and_they_go_nowhere_else(
    store: Store, tmp_path: Path
) -> None:
    store.password = "secret"
    image = store.put(layer(ADAPTER))
    pull(image, tmp_path / "out", credentials(tmp_path, store, "secret"))
    assert pulled(tmp_path / "out") == ADAPTER
    token = [path for path, _, _ in store.asked if path.startswith("/token")]
    assert token == ["/token?service=s&scope=repository%3Aa%2Fb%3Apull"]
    assert {header.split()[0] for path, header, _ in store.asked[2:] if header} == {"Bearer"}


def test_wrong_credentials_are_told_with_the_cure(store: Store, tmp_path: Path) -> None:
    store.password = "secret"
    with pytest.raises(UserError, match=r"could not be pulled .*401.*; mount credentials for this registry"):
        pull(store.put(layer(ADAPTER)), tmp_path / "out", credentials(tmp_path, store, "wrong"))


def test_of_an_index_the_image_for_this_machine_is_taken(store: Store, tmp_path: Path) -> None:
    image = store.put(layer(ADAPTER), tag="this")
    ours = digest(store.manifests["this"])
    others = [{"digest": "sha256:0", "platform": {"os": "linux", "architecture": "s390x"}}]
    entry = {"digest": ours, "platform": {"os": "linux", "architecture": MACHINE}}
    store.manifests["index"] = json.dumps({"manifests": [*others, entry]}).encode()
    pull(image.replace(":this", ":index"), tmp_path / "out")
    assert pulled(tmp_path / "out") == ADAPTER
    store.manifests["other"] = json.dumps({"manifests": others}).encode()
    with pytest.raises(UserError, match=f"has nothing for linux/{MACHINE}"):
        pull(image.replace(":this", ":other"), tmp_path / "out")


def test_a_layer_that_broke_off_is_gone_on_with(store: Store, tmp_path: Path) -> None:
    content = {**ADAPTER, "data/large": os.urandom(300_000)}
    image = store.put(layer(content))
    store.break_after = 100_000
    pull(image, tmp_path / "out")
    assert pulled(tmp_path / "out") == content
    assert [ranged for _, _, ranged in store.asked if ranged] == ["bytes=100000-"]


def test_a_layer_that_is_not_what_its_digest_says_is_refused(store: Store, tmp_path: Path) -> None:
    image = store.put(layer(ADAPTER))
    (name,) = store.blobs
    store.blobs[name] = store.blobs[name][:-1] + b"x"
    with pytest.raises(UserError, match=f"layer {name} arrived damaged; start again to fetch it anew"):
        pull(image, tmp_path / "out")


def test_a_manifest_that_is_not_what_was_asked_for_is_refused(store: Store, tmp_path: Path) -> None:
    image = store.put(layer(ADAPTER))
    asked = f"sha256:{'0' * 64}"
    store.manifests[asked] = store.manifests["1"]
    with pytest.raises(UserError, match="the registry answered with sha256:"):
        pull(f"{image.removesuffix(':1')}@{asked}", tmp_path / "out")


@pytest.mark.parametrize("name", ["data/../../escaped", "../escaped"])
def test_names_that_lead_out_of_the_folder_are_refused(store: Store, tmp_path: Path, name: str) -> None:
    image = store.put(layer({**ADAPTER, name: b"x"}))
    with pytest.raises(UserError, match="leads outside of its folder"):
        pull(image, tmp_path / "out")
    assert not list(tmp_path.rglob("escaped"))


def test_links_are_not_made_and_not_written_through(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    image = store.put(layer({**ADAPTER, "data/link/file": b"x"}, ("data/link", str(tmp_path / "elsewhere"))))
    pull(image, tmp_path / "out")
    assert (tmp_path / "out" / "link" / "file").read_bytes() == b"x"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="would be written through a link"):
        pull(image, tmp_path / "mounted")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_files_can_be_read_by_the_next_containers_user(store: Store, tmp_path: Path) -> None:
    pull(store.put(layer(ADAPTER)), tmp_path / "out")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o644}


def test_an_artifacts_progress_is_its_own_and_it_is_pulled_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "another-model.safetensors").write_bytes(bytes(MIB))
    seen: list[float] = []
    text = f"oci://{store.put(layer({'m/config.json': b'{}', 'm/model.safetensors': bytes(1000)}))}"
    for _ in range(2):
        folder = image.fetch(text, tmp_path / "weights", Progress(seen.append, seen.append))
        assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (seen[0], seen[-1]) == (sum(map(len, store.blobs.values())), 1002)
    assert len([path for path, _, _ in store.asked if "/blobs/" in path]) == 1
