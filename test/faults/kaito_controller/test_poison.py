"""One Workspace at which the controller fails in a way that nobody foresaw; the others, and its author, must be served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller_runtime.client.api import KubeClient
from controller_runtime.resources import NAMESPACES
from gpu_provisioner.api.labels import MACHINES
from kaito_controller.api.labels import WORKSPACES
from kaito_controller.workspace.observe import slim
from test.support.workspace_world import Operator, World, workspace

pytestmark = pytest.mark.faults


class Poisoned:
    """A client that raises what no client may raise, whenever it is asked to create something in the namespace `bad`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self.cured = False

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        return self._create(call) if name == "create" else call

    def _create(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def create(resource: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
            if obj["metadata"].get("namespace") == "bad" and resource.plural != "events" and not self.cured:
                raise LookupError("nobody foresaw this")
            return call(resource, obj, *args, **kwargs)

        return create


def test_poisoned_workspace_says_so_while_another_becomes_ready_and_recovers_when_it_is_touched(world: World) -> None:
    clients: list[Poisoned] = []

    def wrap(client: KubeClient) -> Poisoned:
        clients.append(Poisoned(client))
        return clients[0]

    world.create(NAMESPACES, {"metadata": {"name": "bad"}})
    with Operator(world, wrap=wrap, workers=1):
        world.apply(workspace("ill", "bad"))
        world.until(lambda: world.condition("WorkspaceReady", "ill", "bad")[1] == "InternalError", "the explanation")
        world.apply(workspace("well"))

        world.until_ready("well")

        status, _, message = world.condition("WorkspaceReady", "ill", "bad")
        assert status == "Unknown"
        assert "LookupError in test_poison.py" in message
        clients[0].cured = True
        world.patch("ill", {"metadata": {"annotations": {"touched": "yes"}}}, "bad")
        world.until_ready("ill", "bad")


LONG = "x" * 70_000
"""More than is kept. As empty maps, the 1.5 MB that etcd takes are 35 MB in memory."""
CONTAINERS = [{"name": "c", "image": "registry.example.com/a:1"}]
PUSHED = {"image": "registry.example.com/a:1", "imagePushSecret": "p"}
TUNED = {"preset": {"name": "phi-3-mini-128k-instruct"}, "method": "lora", "output": PUSHED}
LARGE: dict[str, dict[str, Any]] = {
    "env": {
        "inference": {"template": {"spec": {"containers": [{**CONTAINERS[0], "env": [{"name": "A", "value": LONG}]}]}}}
    },
    "volume": {
        "inference": {
            "template": {"spec": {"containers": CONTAINERS, "volumes": [{"name": "v", "ephemeral": {"a": LONG}}]}}
        }
    },
    "dataset": {"inference": None, "tuning": {**TUNED, "input": {"volumeSource": {"csi": {"a": LONG}}}}},
}


def test_workspaces_as_large_as_the_api_server_takes_are_not_kept_and_say_so(world: World) -> None:
    """1.5 MB of `{}` as JSON are 35 MB of Python objects; a few such Workspaces would fill the controller's memory."""
    with Operator(world):
        for name, parts in LARGE.items():
            world.apply({k: v for k, v in workspace(name, **parts).items() if v is not None})
        world.apply(workspace("served"))
        for name in LARGE:
            world.until(lambda name=name: world.condition("WorkspaceReady", name)[1] == "InvalidSpec", "words", 60)
            message = world.condition("WorkspaceReady", name)[2]
            assert f"more than {slim.LARGEST_PART} are not read" in message
        world.until_ready("served", timeout_s=60)

        assert len(world.client.list(MACHINES).items) == 1, "nothing is ordered for what is not read"
        for name in (*LARGE, "served"):
            world.delete(name)
        world.until(lambda: not world.client.list(WORKSPACES).items, "the end of all", 60)
