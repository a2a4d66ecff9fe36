"""A cluster can be had in parts, and what fails half-way leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from controller_runtime.resources import NAMESPACES, NODES
from hack.localcluster.cluster import LocalCluster, StateFileError, service_account_groups


def worker_threads() -> set[str]:
    return {
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("localcluster", "timeline", "arm", "models", "admin"))
    }


def test_api_server_alone_has_no_nodes_and_stops_without_traces() -> None:
    before = worker_threads()
    with LocalCluster(actors=False, cloud=False) as cluster:
        client = cluster.client()
        assert client.get(NAMESPACES, "default")["status"]["phase"] == "Active"
        assert client.list(NODES).items == []
    assert worker_threads() == before


def test_start_that_fails_takes_itself_down_again() -> None:
    before = worker_threads()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"--admin-port {port}"):
            LocalCluster(admin_port=port, actors=False).start()
    assert worker_threads() == before


def test_state_of_another_version_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"version": 99}')
    with pytest.raises(StateFileError, match=str(state)):
        LocalCluster(state_file=state).start()


def test_users_get_the_groups_of_their_kind() -> None:
    assert service_account_groups("system:serviceaccount:kaito:operator") == (
        "system:serviceaccounts",
        "system:serviceaccounts:kaito",
    )
    assert service_account_groups("alice") == ()
