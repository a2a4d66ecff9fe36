"""The downloader of training data, run as the tuning pod runs it: as text, by a bare Python, against real sockets."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kaito_controller import downloader
from kaito_controller.downloader import script

DATA = b"prompt,completion\n" * 5000


class Handler(BaseHTTPRequestHandler):
    """`/data` is there, `/to?URL` redirects, `/busy/N` is busy N times, `/short` ends early, everything else is missing."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        server.asked.append(self.path)
        path, _, query = self.path.partition("?")
        if path == "/to":
            self._answer(302, location=query)
        elif path == "/data" or (path == "/busy" and len(server.asked) > 2):
            self._answer(200, DATA)
        elif path == "/short":
            self._answer(200, DATA[:-1], length=len(DATA))
        else:
            self._answer(503 if path == "/busy" else 404)

    def _answer(self, code: int, body: bytes = b"", *, length: int | None = None, location: str = "") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


def run(target: Path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """As in the pod, where nothing but the standard library is installed. `allow`ed flags come first."""
    command = [sys.executable, "-I", "-S", "-c", downloader.SOURCE, *flags, "--output", str(target), "--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_file_of_an_allowed_host_is_saved_under_its_name_also_after_a_redirect(server: Server, tmp_path: Path) -> None:
    url = f"http://localhost:{server.port}/to?http://127.0.0.1:{server.port}/data"

    ended = run(tmp_path / "rows.csv", url, "--allow", "LOCALHOST.", "--allow", "127.0.0.0/8")

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "rows.csv").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "localhost."],
)
def test_host_that_is_this_pod_is_refused_however_it_is_spelled(server: Server, tmp_path: Path, host: str) -> None:
    ended = run(tmp_path / "rows.csv", f"http://{host}:{server.port}/data")

    assert ended.returncode == downloader.EXIT_REFUSED
    assert "--download-allowed-hosts" in ended.stderr
    assert not server.asked
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "goal",
    [
        "http://169.254.169.254/metadata/instance",
        "http://[fd00:ec2::254]/latest",
        "http://168.63.129.16/",
        "http://10.0.0.1/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "//2852039166/",
    ],
)
def test_redirect_into_a_private_network_or_the_metadata_service_is_refused(
    server: Server, tmp_path: Path, goal: str
) -> None:
    ended = run(tmp_path / "x", f"http://127.0.0.1:{server.port}/to?{goal}", "--allow", "127.0.0.1")

    assert ended.returncode == downloader.EXIT_REFUSED, ended.stderr
    assert "not on the public Internet" in ended.stderr


@pytest.mark.parametrize(
    "goal", ["file:///etc/passwd", "ftp://example.com/x", "http://user:secret@example.com/", "http://[x/", ""]
)
def test_redirect_to_something_else_than_a_plain_http_url_is_refused(server: Server, tmp_path: Path, goal: str) -> None:
    ended = run(tmp_path / "x", f"http://127.0.0.1:{server.port}/to?{goal}", "--allow", "127.0.0.1")

    assert ended.returncode in (downloader.EXIT_REFUSED, downloader.EXIT_STATUS)
    assert not list(tmp_path.iterdir())


def test_redirects_without_end_are_given_up(server: Server, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.port}/to?/to"
    ended = run(tmp_path / "x", f"{url}?/to?/to?/to?/to?/to?/to?/to?/to?/to?/to?/to?/to?/to", "--allow", "127.0.0.1")

    assert ended.returncode == downloader.EXIT_REFUSED
    assert "redirects" in ended.stderr
    assert len(server.asked) == script.REDIRECTS + 1


def test_missing_file_ends_at_once_and_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    paused: list[float] = []
    base = f"http://127.0.0.1:{server.port}"
    arguments = ["--allow", "127.0.0.1", "--output", str(tmp_path / "x"), "--url"]

    assert script.main([*arguments, f"{base}/nowhere"], paused.append) == downloader.EXIT_STATUS
    assert not paused
    assert script.main([*arguments, f"{base}/busy"], paused.append) == 0
    assert paused == [1.0]


def test_half_a_file_is_no_file(server: Server, tmp_path: Path) -> None:
    paused: list[float] = []
    arguments = [
        "--allow",
        "127.0.0.1",
        "--output",
        str(tmp_path / "x"),
        "--url",
        f"http://127.0.0.1:{server.port}/short",
    ]

    assert script.main(arguments, paused.append) == downloader.EXIT_TRANSIENT

    assert len(paused) == script.TRIES - 1
    assert not (tmp_path / "x").exists()


def test_service_name_is_refused_even_where_services_have_public_addresses() -> None:
    public = ipaddress.ip_address("8.8.8.8")

    for host in ("data.team.svc", "data.team.svc.k8s.local"):
        with pytest.raises(script.Ended, match=host):
            script.judge(host, public, [], "k8s.local")
    script.judge("example.com", public, [], "k8s.local")
    script.judge("data.team.svc", public, ["data.team.svc"], "k8s.local")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("172.17.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::169.254.169.254", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("2002:a9fe:a9fe::1", False),
        ("64:ff9b::808:808", True),
        ("2001:db8::1", False),
    ],
)
def test_addresses_that_are_on_the_public_internet(address: str, public: bool) -> None:
    assert script.is_public(ipaddress.ip_address(address)) is public
