"""One life after another, in one thread and in fake time: what a program still remembers afterwards is what it leaks.

Every second life ends by force, its finalizer taken away by somebody, which tells the operators nothing.
"""

from __future__ import annotations

from controller_runtime.resources import SERVICES
from kaito_controller.api import labels
from kaito_controller.workspace.act.actions import MACHINES
from test.faults.gpu_provisioner.world import World
from test.faults.stale.workspace_room import Room
from test.support.workspace_world import workspace

LIMIT_S = 3600


class WorkspaceLives:
    """Workspaces that get a node and a workload, have it repaired, and go."""

    def __init__(self) -> None:
        self.room = Room()
        self.program: object = self.room.operator.controller

    def live(self, number: int) -> None:
        """The whole life of one."""
        room, name = self.room, f"w{number}"
        room.apply(workspace(name))
        room.until(lambda: room.condition("ResourceReady", name)[0] == "True" and self._service(name), "a workload")
        room.client.patch(SERVICES, name, {"spec": {"selector": {labels.WORKSPACE: "stray"}}}, "default")
        room.until(lambda: self._service(name)["spec"]["selector"] != {labels.WORKSPACE: "stray"}, "the repair")
        if number % 2:
            room.client.patch(labels.WORKSPACES, name, {"metadata": {"finalizers": None}}, "default")
        room.delete(name)
        room.until(lambda: not room.all(labels.WORKSPACES) and not room.all(MACHINES), "the end", LIMIT_S)
        room.pass_time(2)
        room.requests.clear()

    def _service(self, name: str) -> dict[str, dict[str, dict[str, str]]]:
        return self.room.find(SERVICES, name, "default") or {}


class MachineLives:
    """Machines that become Nodes and go."""

    def __init__(self) -> None:
        self.world = World()
        self.program: object = (self.world.provisioner, self.world.controllers)

    def live(self, number: int) -> None:
        """The whole life of one."""
        world, name = self.world, f"ws{number:09d}"
        world.create_machine(name)
        assert world.run(LIMIT_S, lambda: world.is_ready(name), step_s=10)
        (world.take_by_force if number % 2 else world.delete_machine)(name)
        assert world.run(LIMIT_S, lambda: world.is_gone(name) and name not in world.pools(), step_s=10)
        world.run(600, step_s=60)
        for history in (world.writes, world.events, world.azure_calls, world.orders):
            history.clear()
