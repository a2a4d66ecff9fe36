"""Crash the controller at every one of its writes, lose everything it remembered, start it anew: the end must be the same.

Two ways of dying at write number n: before the request leaves, and after the server carried it out but before the reply was read. The
provisioner is scripted and keeps to the Machine contract; the API server is real HTTP. What is compared is what the server holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from controller_runtime.client.api import KubeClient
from controller_runtime.errors import ConnectionFailed
from controller_runtime.resources import DEPLOYMENTS, JOBS, NODES, SERVICES, Object, name_of, uid_of
from gpu_provisioner.api.dialect import MACHINE, NODE_CLAIM, Dialect
from kaito_controller.nodeapi.vocabulary import INSTANCE_TYPE, requirement_of
from kaito_controller.workspace.state.naming import machine_name
from test.support.sampling import sampled
from test.support.workspace_world import Operator, World, tuning, workspace

pytestmark = pytest.mark.faults

FIRST, SECOND = "Standard_NV36ads_A10_v5", "Standard_NC24ads_A100_v4"
BEFORE, AFTER = "before the request", "after the commit"
WRITES = ("create", "replace", "patch", "delete", "post")


class DyingClient:
    """Dies at one write, and from then on is dead: nothing that this process still tries has any effect."""

    def __init__(self, client: KubeClient, at: int, mode: str) -> None:
        self._client = client
        self._at, self._mode = at, mode
        self._lock = threading.Lock()
        self._writes = 0
        self.dead = threading.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name == "add_observer" or not callable(call):
            return call
        return self._guard(call, counts=name in WRITES)

    def _guard(self, call: Callable[..., Any], *, counts: bool) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.dead.is_set():
                raise ConnectionFailed("this process is dead")
            if not counts or kwargs.get("dry_run") or getattr(args[0], "plural", "") == "events":
                return call(*args, **kwargs)
            with self._lock:
                self._writes += 1
                mine = self._writes == self._at
            if mine and self._mode == BEFORE:
                self.dead.set()
                raise ConnectionFailed("died before the request")
            result = call(*args, **kwargs)
            if mine:
                self.dead.set()
                raise ConnectionFailed("died before the reply was read")
            return result

        return guarded


def create(world: World) -> None:
    world.apply(workspace(resource={"count": 2}, inference={"preset": {"name": "phi-3-mini-4k-instruct"}}))


def create_tuning(world: World) -> None:
    world.add_default_tuning_configs()
    world.apply(workspace(tuning=tuning()))


def create_spot(world: World) -> None:
    world.apply(workspace(metadata={"annotations": {"kaito.sh/capacity-type": "spot"}}))


def create_ladder(world: World) -> None:
    """The cloud does not sell the first type; the second is taken."""
    world.script.launch_failure = lambda order: ("InstanceTypeNotOffered", "no") if type_of(order) == FIRST else None
    world.apply(workspace(resource={"instanceType": FIRST, "instanceTypes": [FIRST, SECOND]}))


def type_of(order: Object) -> str:
    return requirement_of(order, INSTANCE_TYPE)


def climbed(world: World) -> bool:
    """Served, and nothing is held of the first type."""
    return served(world) and [type_of(order) for order in world.all(world.node_api.resource)] == [SECOND]


def evict(world: World) -> None:
    """The Node says so; scripted machines then live on until their order is deleted."""
    (node,) = world.all(NODES)
    said = [*node["status"]["conditions"], {"type": "VMEventScheduled", "status": "True", "reason": "Preempt"}]
    world.client.patch(NODES, name_of(node), {"status": {"conditions": said}}, subresource="status")


def replaced(world: World) -> bool:
    found, orders = world.get(), world.all(world.node_api.resource)
    return served(world) and found is not None and [name_of(o) for o in orders] == [machine_name(uid_of(found), 0, 1)]


def served(world: World) -> bool:
    return world.condition("WorkspaceReady")[0] == "True"


def updated(world: World) -> bool:
    deployment = world.find(DEPLOYMENTS, "phi", "default")
    containers = deployment["spec"]["template"]["spec"].get("initContainers", []) if deployment else []
    return served(world) and [c["name"] for c in containers] == ["one"]


def gone(world: World) -> bool:
    return world.get() is None


def add_adapter(world: World) -> None:
    source = {"name": "one", "image": "registry.example.com/adapters/one:1"}
    world.patch("phi", {"inference": {"adapters": [{"source": source, "strength": "0.5"}]}})


SCENARIOS: Mapping[
    str, tuple[Callable[[World], None] | None, Callable[[World], None], Callable[[World], bool], int]
] = {
    "create": (None, create, served, 14),
    "create tuning": (None, create_tuning, served, 12),
    "update": (create, add_adapter, updated, 10),
    "delete": (create, World.delete, gone, 13),
    "eviction": (create_spot, evict, replaced, 12),
    "ladder": (None, create_ladder, climbed, 16),
}
"""(what comes first, the event, the goal, a little more than the number of writes it takes)."""


def play(scenario: str, at: int, mode: str, node_api: Dialect = MACHINE) -> tuple[bool, Mapping[str, Any]]:
    """(whether the controller died, what the server holds in the end)."""
    before, event, goal, _ = SCENARIOS[scenario]
    with World(node_api=node_api) as world:
        if before is not None:
            before(world)
            with Operator(world):
                world.until(lambda: served(world), "the beginning")
        clients: list[DyingClient] = []

        def dying(client: KubeClient) -> DyingClient:
            clients.append(DyingClient(client, at, mode))
            return clients[0]

        with Operator(world, wrap=dying):
            event(world)
            world.until(lambda: clients[0].dead.is_set() or goal(world), "death or the goal")
        died = clients[0].dead.is_set()
        with Operator(world):
            world.until(lambda: goal(world), f"the goal after {mode} write {at}", 30.0)
        return died, picture(world)


def picture(world: World) -> Mapping[str, Any]:
    """What the server holds, without what differs from run to run (UIDs, times, names derived from UIDs)."""
    found = world.get()
    uid = uid_of(found) if found else ""
    places = ((ordinal, attempt) for ordinal in range(3) for attempt in range(2))
    names = {machine_name(uid, ordinal, attempt): f"machine-{ordinal}.{attempt}" for ordinal, attempt in places}
    created = [change for change in world.server.events_log if _is_new_machine(change)]
    return {
        "machines": sorted(
            names.get(name_of(machine), name_of(machine)) for machine in world.all(world.node_api.resource)
        ),
        "machines ever made": len(created),
        "nodes": len(world.all(NODES)),
        "services": sorted(map(name_of, world.all(SERVICES))),
        "deployments": [_containers(deployment) for deployment in world.all(DEPLOYMENTS)],
        "jobs": len(world.all(JOBS)),
        "conditions": _conditions(found) if found else None,
        "instance type": found["status"].get("instanceType") if found else None,
        "passed over": _passed(found) if found else None,
        "finalizers": found["metadata"].get("finalizers") if found else None,
    }


def _is_new_machine(change: Any) -> bool:
    return change.event == "ADDED" and bool({"machines", "nodeclaims"} & set(change.resource))


def _containers(deployment: Object) -> list[str]:
    spec = deployment["spec"]["template"]["spec"]
    return [c["image"] for c in [*spec.get("initContainers", []), *spec["containers"]]]


def _conditions(found: Object) -> list[tuple[str, str, str]]:
    return [(c["type"], c["status"], c["reason"]) for c in found["status"]["conditions"]]


def _passed(found: Object) -> list[tuple[str, str]]:
    return [(entry["instanceType"], entry["reason"]) for entry in found["status"]["record"].get("passed") or []]


@cache
def golden(scenario: str, node_api: Dialect = MACHINE) -> Mapping[str, Any]:
    """The undisturbed run."""
    return play(scenario, 10_000, BEFORE, node_api)[1]


CASES = [
    (scenario, at, mode)
    for scenario, (_, _, _, writes) in SCENARIOS.items()
    for at in range(1, writes + 1)
    for mode in (BEFORE, AFTER)
]


@pytest.mark.parametrize(("scenario", "at", "mode"), sampled(CASES, every=9))  # Odd: both ways of dying.
def test_crash_at_any_write_ends_as_if_it_had_not_happened(scenario: str, at: int, mode: str) -> None:
    _, held = play(scenario, at, mode)

    assert held == golden(scenario)


@pytest.mark.parametrize(("scenario", "at", "mode"), sampled(CASES, every=13))
def test_crash_at_any_write_ends_the_same_with_node_claims(scenario: str, at: int, mode: str) -> None:
    _, held = play(scenario, at, mode, NODE_CLAIM)

    assert held == golden(scenario, NODE_CLAIM) == golden(scenario)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_enumeration_goes_beyond_the_last_write(scenario: str) -> None:
    """The highest number of each scenario is never reached, hence every write has been one to die at."""
    writes = SCENARIOS[scenario][3]

    assert not play(scenario, writes + 1, BEFORE)[0]
