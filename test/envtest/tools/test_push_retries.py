"""A push that fails for what may pass: the Job's own commands with the real crane, against a registry that has a bad hour.

The registry is crane's, behind a door that answers as registries do when they are ill: 503, 429 with Retry-After, 401 for a token that
has expired, or a connection cut in the middle. The kubelet and the Job controller are played: each try is a new process that reads the
push secret as it is then, and there are as many tries as the Job allows. How long a 429 asks to wait is
not looked at: the pauses are the Job's, from ten seconds on.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kaito_controller.workloads.tuning import PUSH_BACKOFF_LIMIT
from test.envtest.tools.test_crane import Crane, base_image, crane, local, package, pusher, registry, workshop

pytestmark = pytest.mark.envtest

__all__ = ["base_image", "crane", "registry", "workshop"]
FRESH = "fresh-token"
CUT = 0
"""In the place of a status: the connection is closed without a word."""


@dataclass
class Door:
    """What stands before the registry. `ill`: what requests under /v2/team get, None when well; `token`: what they must carry."""

    registry: str
    ill: int | None = None
    token: str = ""
    turned_away: list[int] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door: Door

    def _any(self) -> None:
        refusal = self._refusal()
        if refusal is None:
            self._forward()
            return
        self.door.turned_away.append(refusal)
        self.close_connection = True
        if refusal == CUT:
            self.connection.close()
            return
        self._drain()
        self.send_response(refusal)
        if refusal == 429:
            self.send_header("Retry-After", "1")
        if refusal == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="team"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _any  # noqa: N815  # the names that http.server calls

    def _refusal(self) -> int | None:
        # Clients look at /v2/ to learn how they have to log in; a guarded registry says so there too.
        guarded = self.path == "/v2/" or self.path.startswith("/v2/team/")
        if self.door.token and guarded and not self._knows(self.door.token):
            return 401
        return self.door.ill if self.path.startswith("/v2/team/") else None

    def _knows(self, token: str) -> bool:
        said = (self.headers.get("Authorization") or "").removeprefix("Basic ")
        return base64.b64decode(said).decode() == f"pusher:{token}"

    def _drain(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _forward(self) -> None:
        body = self._drain()
        behind = http.client.HTTPConnection(self.door.registry, timeout=20)
        kept = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "content-range", "accept")}
        behind.request(self.command, self.path, body, kept)
        reply = behind.getresponse()
        content = reply.read()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date"):
                self.send_header(name, value)
        length = reply.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)
        behind.close()

    def log_message(self, *_: object) -> None:
        """The test says what it saw."""


@contextmanager
def served(door: Door) -> Iterator[str]:
    """`127.0.0.1:port`."""
    handler = type("Handler", (_Handler,), {"door": door})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@dataclass
class PushJob:
    """The Job that only pushes, as the Job controller and a kubelet run it."""

    crane: Crane
    arguments: list[str]
    secret: Path
    errors: list[str] = field(default_factory=list)

    def write_secret(self, host: str, token: str) -> None:
        """The mount of the push secret, as the kubelet keeps it."""
        known = base64.b64encode(f"pusher:{token}".encode()).decode()
        (self.secret / "config.json").write_text(json.dumps({"auths": {host: {"auth": known}}}))

    def run(self, between: Callable[[int], None]) -> int:
        """Tries until one succeeds; `between` is told how many have failed. The number of tries."""
        for attempt in range(1, PUSH_BACKOFF_LIMIT + 2):
            done = self.crane.run(*self.arguments)
            if done.returncode == 0:
                return attempt
            self.errors.append(done.stderr)
            between(attempt)
        raise AssertionError(f"not pushed within {PUSH_BACKOFF_LIMIT + 1} tries: {self.errors[-1]}")


@pytest.mark.parametrize(
    ("ill", "told"),
    [(503, "503"), (429, "429"), (CUT, "EOF"), (401, "401|UNAUTHORIZED")],
    ids=["5xx", "429", "cut", "expired-token"],
)
def test_push_succeeds_by_itself_once_the_registry_is_well_and_the_result_stays(
    crane: Crane, registry: str, base_image: str, workshop: Path, tmp_path: Path, ill: int, told: str
) -> None:
    assert package(workshop).returncode == 0
    result = {file.name: file.read_bytes() for file in (workshop / "data").iterdir()}
    door = Door(registry, ill=None if ill == 401 else ill, token=FRESH if ill == 401 else "")
    with served(door) as host:
        target = f"{host}/team/tuned:0.0.1"
        job = PushJob(crane, local(pusher(target, base_image)["args"], workshop), tmp_path)
        job.write_secret(host, "expired-token" if ill == 401 else FRESH)

        def gets_well(failed: int) -> None:
            assert {file.name: file.read_bytes() for file in (workshop / "data").iterdir()} == result
            if failed == 2:
                door.ill = None
                job.write_secret(host, FRESH)

        tries = job.run(gets_well)

    assert tries == 3
    assert set(door.turned_away) == {ill}
    assert all(any(word in error for word in told.split("|")) for error in job.errors), job.errors
    assert crane("manifest", f"{registry}/team/tuned:0.0.1")


def test_what_the_registry_said_is_the_last_word_of_a_try_that_gave_up(
    crane: Crane, registry: str, base_image: str, workshop: Path, tmp_path: Path
) -> None:
    """The kubelet takes it as the termination message, and the condition quotes it."""
    assert package(workshop).returncode == 0
    door = Door(registry, ill=503)
    with served(door) as host:
        done = crane.run(*local(pusher(f"{host}/team/tuned:0.0.1", base_image)["args"], workshop))

    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert "503 Service Unavailable" in last
    assert host in last
