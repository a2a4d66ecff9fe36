"""A cluster can be had in parts, and what fails half-way leaves nothing behind."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from controller_runtime.resources import NAMESPACES, NODES
from hack.localcluster.actors.garbage import CRDS
from hack.localcluster.cluster import LocalCluster, StateFileError, service_account_groups
from test.conformance.widgets import definition_of
from test.support.processes import wait_until


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


def test_world_that_holds_a_custom_type_is_restored_and_collected_once(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with LocalCluster(state_file=state, cloud=False) as cluster:
        cluster.client().create(CRDS, definition_of("Relic", "relics", {"type": "object"}))
    with LocalCluster(state_file=state, cloud=False) as cluster:
        collectors = [controller.name for controller in cluster.actors.world.controllers]
        wait_until(lambda: sum("relics" in controller.name for controller in cluster.actors.world.controllers) == 1, 20)
        assert len(collectors) == len(set(collectors))


def test_node_that_a_finalizer_keeps_is_not_ready_once_its_machine_is_gone() -> None:
    with LocalCluster(time_scale=6000) as cluster:
        client = cluster.client()

        def ready() -> str:
            conditions = client.get(NODES, node)["status"]["conditions"]
            return str(next(entry["status"] for entry in conditions if entry["type"] == "Ready"))

        node = wait_until(lambda: next(iter(cluster.actors.fleet.names()), None), 20, "a node")
        wait_until(lambda: any(n["metadata"]["name"] == node for n in client.list(NODES).items), 20, "the Node")
        wait_until(lambda: ready() == "True", 20, "Ready")
        client.patch(NODES, node, {"metadata": {"finalizers": ["example.com/keep"]}})
        pool = client.get(NODES, node)["metadata"]["labels"]["kubernetes.azure.com/agentpool"]
        cluster.cloud.pools.remove_behind(pool)
        wait_until(lambda: ready() == "Unknown", 20, "NotReady")
        client.patch(NODES, node, {"metadata": {"finalizers": None}})
        wait_until(lambda: node not in [n["metadata"]["name"] for n in client.list(NODES).items], 20, "the Node's end")


def test_users_get_the_groups_of_their_kind() -> None:
    assert service_account_groups("system:serviceaccount:kaito:operator") == (
        "system:serviceaccounts",
        "system:serviceaccounts:kaito",
    )
    assert service_account_groups("alice") == ()
