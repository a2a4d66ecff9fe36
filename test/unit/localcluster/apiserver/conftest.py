"""A small API server per test, on plain HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from test.support.raw_api import RawApi

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and keys, made once."""
    return tmp_path_factory.mktemp("apiserver")


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., tuple[ApiServer, RawApi]]]:
    """Starts servers with options; all are stopped afterwards."""
    running: list[ApiServer] = []
    clients: list[RawApi] = []

    def make(**options: Any) -> tuple[ApiServer, RawApi]:
        server = ApiServer(ServerOptions(folder=folder, **options)).start()
        running.append(server)
        api = RawApi(server.write_kubeconfig(folder / f"kubeconfig-{server.port}"))
        clients.append(api)
        return server, api

    yield make
    for client in clients:
        client.close()
    for server in running:
        server.stop()


@pytest.fixture
def cluster(start: Callable[..., tuple[ApiServer, RawApi]]) -> tuple[ApiServer, RawApi]:
    """A server with default options, and a client."""
    return start()


def config_map(name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"metadata": {"name": name}, "data": data}
