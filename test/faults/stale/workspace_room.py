"""The Workspace controller in one thread and in time that stands still: the real parts on caches that a test can spoil.

The world around it (provisioner, kubelets, garbage collection) is that of `test.support.workspace_world`, over the rules of localcluster's
API server without its sockets. Nothing moves but in `step`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from controller_runtime.client.api import ObjectList
from controller_runtime.controller.controller import Controller, Request
from controller_runtime.metrics.registry import ControllerMetrics, new_registry
from controller_runtime.resources import NAMESPACES, Object, Resource, name_of, namespace_of
from hack.localcluster.apiserver.objects import Caller, Write
from kaito_controller.nodeapi import APIS, DEFAULT
from kaito_controller.settings import ControllerSettings
from kaito_controller.workspace.act.actions import MACHINES
from kaito_controller.workspace.observe.machine_source import MachineSource
from kaito_controller.workspace.setup import CONTROLLER, assemble
from test.faults.gpu_provisioner.direct_client import CRDS, DirectClient, DirectServer, _translated
from test.faults.stale.caches import EventFault, FaultyCache
from test.support.fake_clock import FakeClock
from test.support.workspace_world import RELEASE_NAMESPACE, SETTINGS, World

ROOT = Path(__file__).resolve().parents[3]
_CRD: Object = yaml.safe_load((ROOT / "config/crd/kaito.sh_workspaces.yaml").read_text())
REST_ROUNDS = 400


class RoomClient(DirectClient):
    """Adds PUT, and notes every request."""

    def __init__(self, server: DirectServer, user: str, note: Callable[[str], None]) -> None:
        super().__init__(server, user, lambda _, commit: commit())
        self._put_as = Write(Caller(user, ("system:masters",), user))
        self._note = note

    def create(self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, **more: Any) -> Object:
        self._note(f"create {resource.plural} {name_of(obj)}")
        return super().create(resource, obj, namespace, **more)

    def patch(self, resource: Resource, name: str, patch: Any, namespace: str | None = None, **more: Any) -> Object:
        part = f"/{more['subresource']}" if more.get("subresource") else ""
        self._note(f"patch {resource.plural}{part} {name}")
        return super().patch(resource, name, patch, namespace, **more)

    def delete(self, resource: Resource, name: str, namespace: str | None = None, **more: Any) -> None:
        self._note(f"delete {resource.plural} {name}")
        more.pop("propagation", None)
        super().delete(resource, name, namespace, **more)

    def replace(self, resource: Resource, obj: Mapping[str, Any], *, subresource: str | None = None) -> Object:
        self._note(f"replace {resource.plural} {name_of(obj)}")
        kind, verbs = self._server.kind(resource), self._server.verbs
        where, name = namespace_of(obj), name_of(obj)
        put = lambda: verbs.modify(  # noqa: E731
            kind, where, name, lambda _: dict(obj), self._put_as, subresource=subresource or "", is_put=True
        )
        written: Object = _translated(put).copy()
        return written

    def list(self, resource: Resource, namespace: str | None = None, **more: Any) -> ObjectList:
        return super().list(resource, namespace, **more)


class Room(World):
    """Not a context manager: nothing has to be taken down."""

    def __init__(self, fault: EventFault | None = None) -> None:
        super().__init__()
        self.direct = DirectServer()
        self.clock = FakeClock(datetime.now(UTC))
        self.client = RoomClient(self.direct, "world", lambda _: None)  # type: ignore[assignment]
        self.fault = fault
        self.requests: list[str] = []
        self.create(CRDS, _CRD)
        self.create(NAMESPACES, {"metadata": {"name": RELEASE_NAMESPACE}})
        self.start()

    def start(self) -> None:
        """A new controller process: nothing is remembered, all caches are filled anew."""
        self.caches: dict[Resource, FaultyCache] = {}
        self.operator = _Operator(self)
        self.settle()

    # The world's own way of asking, without sockets and real time.

    def writes(self, agent: str = "kaito-controller") -> list[str]:
        return [request for request in self.requests if agent and " events" not in request]

    def until(self, condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
        """Let the world go on, a second at a time, until `condition` holds."""
        for _ in range(int(timeout_s)):
            self.step()
            found = condition()
            if found:
                return found
        raise AssertionError(f"{what} did not come true; conditions: {self.condition('WorkspaceReady')}")

    def step(self) -> None:
        """One second: everybody outside does one thing, then the controller rests."""
        super().step()
        self.clock.advance(1.0)
        self.settle()

    def pass_time(self, steps: int) -> None:
        for _ in range(steps):
            self.step()

    def settle(self) -> None:
        """Deliver what the caches let through and reconcile until nothing is left to do at this moment."""
        for _ in range(REST_ROUNDS):
            moved = sum(cache.deliver() for cache in self.caches.values())
            if not self.operator.controller.process_next() and not moved:
                return
        raise AssertionError(f"no rest after {REST_ROUNDS} rounds; last writes {self.requests[-10:]}")

    def relist(self) -> None:
        """Every cache starts again from a list."""
        for cache in self.caches.values():
            cache.held = False
            cache.relist()
        self.settle()

    def machines_ever(self) -> list[str]:
        """Names of all Machines that were ever created."""
        machines = (MACHINES.group, MACHINES.plural)
        return [c.key[1] for c in self.direct.store.log or () if c.resource == machines and c.event == "ADDED"]

    def look_again(self, name: str = "phi", namespace: str = "default") -> None:
        """Reconcile once more although nothing happened."""
        self.operator.controller.enqueue(Request(namespace, name))
        self.settle()


class _Operator:
    """The part of a Manager that `assemble` uses."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.name = "kaito-controller"
        self.registry = new_registry(process=False)
        self.client = RoomClient(room.direct, "kaito-controller", room.requests.append)
        settings = ControllerSettings(**SETTINGS)
        self.controller = assemble(self, settings, clock=room.clock)  # type: ignore[arg-type]

    def informer(self, resource: Resource, *, indexers: Mapping[str, Any] | None = None, **_: Any) -> FaultyCache:
        cache = self._room.caches.setdefault(resource, FaultyCache(self._room.direct, resource))
        cache.fault = self._room.fault
        cache.add_indexers(indexers)
        return cache

    def recorder(self, _component: str) -> Any:
        return self

    def event(self, *_: Any, **__: Any) -> None:
        """Events are told elsewhere."""

    def add_controller(self, controller: Controller) -> None:
        """Tests step the controller themselves; a panic of a reconcile is only counted, so the count is kept."""
        controller.attach(ControllerMetrics(self.registry), lambda _: None)

    def panics(self) -> float:
        """Reconciles that raised something unforeseen."""
        labels_ = {"controller": CONTROLLER}
        return self.registry.get_sample_value("controller_runtime_reconcile_panics_total", labels_) or 0.0

    def add_runnable(self, machines: MachineSource, **_: Any) -> None:
        """What follows the CRD of a node API is not run: that of Machines is here from the start and stays, another one never comes."""
        assert machines.available is (machines.api is APIS[DEFAULT])


def is_ready(room: Room) -> bool:
    return room.condition("WorkspaceReady")[0] == "True"
