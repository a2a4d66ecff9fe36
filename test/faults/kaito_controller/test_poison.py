"""One Workspace at which the controller fails in a way that nobody foresaw; the others, and its author, must be served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller_runtime.client.api import KubeClient
from controller_runtime.resources import NAMESPACES
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
