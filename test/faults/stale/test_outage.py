"""The controller alone cannot follow one kind: nothing may be bought or given up on the strength of what it does not see."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import InternalError
from kaito_controller.workspace.act.actions import MACHINES
from test.support.workspace_world import Operator, World, workspace

pytestmark = pytest.mark.faults

LIMIT_S = 1.0


@pytest.fixture
def world() -> Iterator[World]:
    with World() as running:
        yield running


class Blinded:
    """A client that can be kept from listing and watching Nodes."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._streams: list[Any] = []
        self._blind = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def blind(self) -> None:
        self._blind = True
        for stream in self._streams:
            stream.stop()

    def heal(self) -> None:
        self._blind = False

    def list(self, resource: Any, *args: Any, **kwargs: Any) -> Any:
        self._check(resource)
        return self._client.list(resource, *args, **kwargs)

    def watch(self, resource: Any, *args: Any, **kwargs: Any) -> Any:
        self._check(resource)
        stream = self._client.watch(resource, *args, **kwargs)
        if resource.plural == "nodes":
            self._streams.append(stream)
        return stream

    def _check(self, resource: Any) -> None:
        if self._blind and resource.plural == "nodes":
            raise InternalError("etcdserver: request timed out")


def ever_made(world: World) -> int:
    return len([c for c in world.server.events_log if c.event == "ADDED" and "machines" in c.resource])


def test_nodes_that_cannot_be_seen_are_not_lost_and_a_condition_names_the_cache(world: World) -> None:
    clients: list[Blinded] = []

    def wrap(client: KubeClient) -> Blinded:
        clients.append(Blinded(client))
        return clients[0]

    with Operator(world, wrap=wrap, node_lost_timeout_s=LIMIT_S, machine_retry_delay_s=0.1):
        world.apply(workspace("first"))
        world.until_ready("first")
        clients[0].blind()
        world.apply(workspace("second"))

        world.until(lambda: world.condition("ResourceReady", "second")[1] == "CacheStale", "the explanation")
        end = time.monotonic() + 4 * LIMIT_S
        world.until(lambda: time.monotonic() > end, "four times the limit")

        assert "Nodes may be out of date" in world.condition("WorkspaceReady", "second")[2]
        assert world.condition("WorkspaceReady", "first")[0] == "True"
        assert ever_made(world) == len(world.all(MACHINES)) == 2
        clients[0].heal()
        world.until_ready("second")
        assert ever_made(world) == 2
