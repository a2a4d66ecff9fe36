"""What all actors write through: a status reaches exactly the object that it was computed for."""

from __future__ import annotations

from pathlib import Path

from controller_runtime.resources import PODS, Object
from hack.localcluster.actors.world import World
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from hack.localcluster.durations import Durations
from hack.localcluster.endpoint import token_client
from hack.localcluster.timeline import Timeline


def pod(name: str) -> Object:
    spec = {"containers": [{"name": "c", "image": "i:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def test_status_of_a_pod_that_is_gone_is_not_written_to_its_namesake(tmp_path: Path) -> None:
    with ApiServer(ServerOptions(folder=tmp_path)) as server:
        client = token_client(server.url, server.ca_file, server.issue_token("kubelet", ["system:masters"]), "test")
        world = World(client, Timeline(), Durations())
        first = client.create(PODS, pod("web-0"))
        client.delete(PODS, "web-0", "default")
        second = client.create(PODS, pod("web-0"))
        world.patch_status(PODS, first, {"phase": "Running"})
        assert client.get(PODS, "web-0", "default")["status"]["phase"] == "Pending"
        world.patch_status(PODS, second, {"phase": "Running"})
        assert client.get(PODS, "web-0", "default")["status"]["phase"] == "Running"
        client.delete(PODS, "web-0", "default")
        world.patch_status(PODS, second, {"phase": "Failed"})
