"""Two of this program at one API server: only the one that holds the Lease writes, and the other goes on where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from controller_runtime.client.api import KubeClient
from controller_runtime.resources import DEPLOYMENTS, NODES, name_of, uid_of
from kaito_controller.workspace.act.actions import MACHINES
from test.support.workspace_world import Operator, World, workspace

pytestmark = pytest.mark.faults

ELECTION: dict[str, Any] = {
    "leader_elect": True,
    "leader_election_namespace": "default",
    "lease_duration_s": 3.0,
    "renew_deadline_s": 2.0,
    "retry_period_s": 0.2,
}
WRITES = ("create", "replace", "patch", "delete")


class Scribe:
    """Passes everything on and remembers what one of the two wrote (Events and Leases apart)."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        return self._noting(name, call) if name in WRITES else call

    def _noting(self, verb: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(resource: Any, *args: Any, **options: Any) -> Any:
            if resource.plural not in ("events", "leases"):
                self.written.append(f"{verb} {resource.plural}")
            return call(resource, *args, **options)

        return noting


def scribes(world: World, stack: ExitStack) -> tuple[tuple[Operator, Scribe], ...]:
    """Two running controllers."""

    def start() -> tuple[Operator, Scribe]:
        made: list[Scribe] = []

        def wrap(client: KubeClient) -> Scribe:
            made.append(Scribe(client))
            return made[0]

        return stack.enter_context(Operator(world, wrap=wrap, **ELECTION)), made[0]

    return start(), start()


def test_only_the_leader_writes_and_its_successor_finishes_what_it_began(world: World) -> None:
    world.script.node_ready = False
    with ExitStack() as stack:
        pair = scribes(world, stack)
        world.apply(workspace())
        world.until(lambda: world.all(MACHINES), "the first Machine")
        ((leader, its), (_, others)) = sorted(pair, key=lambda one: -len(one[1].written))
        assert its.written
        assert not others.written
        (first,) = world.all(MACHINES)

        leader.manager.stop()
        so_far = len(its.written)
        world.script.node_ready = True

        for node in world.all(NODES):
            world.set_node(name_of(node), ready=True, gpus=1)
        world.until_ready()
        assert others.written
        assert len(its.written) == so_far
        assert [uid_of(machine) for machine in world.all(MACHINES)] == [uid_of(first)]
        assert len(world.all(DEPLOYMENTS)) == 1
