"""With or without TLS: a registry at a private address is spoken to as crane speaks to it, which pushed the adapter there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from model_runtime.errors import UserError
from model_runtime.oci.reference import Reference, parse_reference
from model_runtime.oci.registry import Registry


@pytest.fixture
def plain_registry() -> Iterator[str]:
    """The address of a registry that speaks HTTP alone, and knows one empty manifest."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Silent."""

        def do_GET(self) -> None:
            body = json.dumps({"layers": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("host", ["10.96.0.51:5001", "172.16.0.1", "192.168.1.2:5000"])
def test_a_registry_at_a_private_address_is_asked_with_tls_first(host: str) -> None:
    reference = parse_reference(f"{host}/adapters/tuned:1")
    assert reference.base_url == f"https://{host}/v2/adapters/tuned"
    assert reference.may_be_plain


@pytest.mark.parametrize("host", ["registry.example.com", "172.32.0.1", "11.0.0.1:5000", "localhost.example.com:5000"])
def test_no_other_registry_is_asked_without_tls(host: str) -> None:
    reference = parse_reference(f"{host}/adapters/tuned:1")
    assert not reference.may_be_plain
    assert not reference.plain_http


def test_where_a_private_registry_has_no_tls_it_is_asked_without(plain_registry: str) -> None:
    reference = Reference("tuned", plain_registry, "tuned", "1", plain_http=False, may_be_plain=True)
    assert Registry(reference, []).artifact().layers == ()


def test_where_any_other_registry_has_no_tls_nothing_is_sent(plain_registry: str) -> None:
    reference = Reference("tuned", plain_registry, "tuned", "1", plain_http=False)
    with pytest.raises(UserError, match="could not be pulled"):
        Registry(reference, []).artifact()
