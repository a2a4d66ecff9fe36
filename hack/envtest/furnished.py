"""A real control plane with localcluster's nodes, kubelets and cloud as its API clients: the end-to-end suite's other cluster.

The real scheduler, controllers and garbage collector do their own work here; only what needs machines is played. The attributes are those
of `LocalCluster`, so that a test need not know which of the two it has. What is missing is said where it is missing: the real API server
cannot reach pods that have no network, so there is no Service proxy to the stand-in model server.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from controller_runtime.client import Client
from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane
from hack.localcluster.actors.actors import Actors, Parts
from hack.localcluster.cloud import AksCloud, CloudIdentity
from hack.localcluster.durations import Durations
from hack.localcluster.faults import FaultPlan
from hack.localcluster.timeline import Timeline

PARTS = Parts(controllers=False, garbage=False, scheduler=False, node_lifecycle=False)


class FurnishedCluster:
    """A context manager; takes the options of `LocalCluster` that make sense here and refuses the others."""

    def __init__(
        self,
        *,
        time_scale: float = 60.0,
        directory: Path | None = None,
        durations: Durations | None = None,
        faults: FaultPlan | None = None,
        canaries: bool = True,
        minor: str | None = None,
    ) -> None:
        self.faults = faults or FaultPlan()
        self.directory = directory
        self._time_scale = time_scale
        self._durations = durations or Durations()
        self._canaries = canaries
        self._minor = minor or binaries.chosen_minor()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.plane = self._stack.enter_context(ControlPlane(binaries.ensure_control_plane(self._minor)))
        self.timeline = Timeline(self._time_scale)
        self.timeline.start()
        self._stack.callback(self.timeline.stop)
        identity = CloudIdentity()
        client = Client.from_kubeconfig(str(self.kubeconfig), user_agent="localcluster-actors")
        self.actors = self._stack.enter_context(
            Actors(client, self.timeline, durations=self._durations, identity=identity, parts=PARTS)
        )
        self.cloud = AksCloud(
            self.faults, identity=identity, timeline=self.timeline, durations=self._durations, host=self.actors.fleet
        )
        self.cloud.start()
        self._stack.callback(self.cloud.stop)
        if self._canaries:
            self.cloud.add_canaries()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.plane.kubeconfig

    @property
    def url(self) -> str:
        """Address of the API server."""
        return self.plane.url

    @property
    def environment(self) -> dict[str, str]:
        """What the operators need to find this cluster and its cloud."""
        return {"KUBECONFIG": str(self.kubeconfig), **self.cloud.environment}

    def client(self, user: str | None = None, *, user_agent: str = "envtest") -> Client:
        """A client, as administrator or as another user."""
        path = self.kubeconfig if user is None else self.kubeconfig_for(user)
        return Client.from_kubeconfig(str(path), user_agent=user_agent)

    def kubeconfig_for(self, user: str, groups: Any = None) -> Path:
        """A kubeconfig for a user, by client certificate."""
        path = self.plane.folder / f"{user.replace(':', '-')}.kubeconfig"
        return self.plane.write_certificate_kubeconfig(path, user, list(groups or []))
