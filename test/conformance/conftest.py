"""The API server under test: the one of KUBECONFIG_UNDER_TEST, else localcluster's own, started here with RBAC enforced."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.conformance import widgets
from test.support.raw_api import RawApi, eventually


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The admin's kubeconfig of the server under test."""
    given = os.environ.get("KUBECONFIG_UNDER_TEST")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("apiserver")
    with ApiServer(ServerOptions(folder=folder, rbac=True)) as server:
        yield server.write_kubeconfig(folder / "kubeconfig")


@pytest.fixture(scope="session")
def server_api(kubeconfig: Path) -> Iterator[RawApi]:
    """One client for the session."""
    api = RawApi(kubeconfig)
    yield api
    api.close()


def published(api: RawApi) -> set[str]:
    """The kinds of which `kubectl explain` can tell: a server describes a type some time after it serves it."""
    reply = api.get(f"/openapi/v3/apis/{widgets.API_VERSION}")
    schemas = reply.body["components"]["schemas"] if reply.code == 200 else {}
    return {name.rpartition(".")[2] for name in schemas}


@pytest.fixture(scope="session")
def widget_types(server_api: RawApi) -> Iterator[None]:
    """The custom types of the suite, served."""
    for definition in widgets.definitions():
        server_api.post(widgets.CRDS, definition).expect(201)
    for path in (widgets.ALL_WIDGETS, widgets.ALL_PLAINS):
        eventually(lambda path=path: server_api.get(path).code, lambda code: code == 200)
    eventually(lambda: published(server_api), lambda kinds: kinds >= {"Widget", "Plain"})
    yield
    for definition in widgets.definitions():
        server_api.delete(f"{widgets.CRDS}/{definition['metadata']['name']}")


@pytest.fixture
def namespace(server_api: RawApi) -> Iterator[str]:
    """A namespace of its own for each test."""
    name = f"conformance-{secrets.token_hex(4)}"
    server_api.post("/api/v1/namespaces", {"metadata": {"name": name}}).expect(201)
    yield name
    server_api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def api(server_api: RawApi, widget_types: None) -> RawApi:
    """The client, with the suite's types installed."""
    return server_api


@pytest.fixture
def pods(api: RawApi, namespace: str) -> str:
    """The path of the pods of a namespace that has a default ServiceAccount."""
    api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    return f"/api/v1/namespaces/{namespace}/pods"
