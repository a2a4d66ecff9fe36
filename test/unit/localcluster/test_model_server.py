"""The stand-in model server answers like a real one, and only for pods that are open."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from hack.localcluster.model_server import ModelServers, answer

POD = {"metadata": {"name": "falcon-1", "namespace": "default", "uid": "u", "labels": {"kaito.sh/workspace": "falcon"}}}


@pytest.fixture
def models() -> Iterator[ModelServers]:
    servers = ModelServers(lambda resource, namespace, name: POD if name == "falcon" else None)
    servers.start()
    yield servers
    servers.stop()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "contains"),
    [
        ("GET", "/", b"", 200, "running"),
        ("GET", "/healthz", b"", 200, "Healthy"),
        ("GET", "/health", b"", 200, "Healthy"),
        ("GET", "/metrics", b"", 200, 'localcluster_model_up{model="m"} 1'),
        ("POST", "/chat", b'{"prompt": "Hello?"}', 200, "Hello?"),
        ("POST", "/chat", b'{"messages": [{"role": "user", "content": "Hi!"}]}', 200, "Hi!"),
        ("POST", "/chat", b"{}", 400, "prompt required"),
        ("POST", "/chat", b"[]", 400, "prompt required"),
        ("POST", "/chat", b"{", 422, "JSON"),
        ("GET", "/chat", b"", 405, "Not Allowed"),
        ("GET", "/v1/models", b"", 404, "Not Found"),
    ],
)
def test_answers(method: str, path: str, body: bytes, status: int, contains: str) -> None:
    reply = answer(method, path, body, "m")
    assert reply.status == status
    assert contains in reply.body.decode()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as reply:
        return json.loads(reply.read())


def test_pod_answers_from_ready_to_not_ready(models: ModelServers) -> None:
    assert models.backend("services", "default", "falcon", "80") is None
    models.open(POD)
    base = models.backend("services", "default", "falcon", "80")
    assert base is not None
    assert get(f"{base}/healthz?x=1") == {"status": "Healthy"}
    models.close("u")
    assert models.backend("services", "default", "falcon", "80") is None
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"{base}/healthz")
    with refused.value as reply:
        assert reply.code == 503


def test_service_without_pods_has_no_backend(models: ModelServers) -> None:
    models.open(POD)
    assert models.backend("services", "default", "other", "80") is None
