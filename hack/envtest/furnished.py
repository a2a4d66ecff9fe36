"""A real control plane with localcluster's nodes, kubelets and cloud as its API clients: the end-to-end suite's other cluster.

The real scheduler, controllers and garbage collector do their own work here; only what needs machines is played. The attributes are those
of `LocalCluster`, so that a test need not know which of the two it has. What is missing is said where it is missing: the real API server
cannot reach pods that have no network, so there is no Service proxy to the stand-in model server, and nobody cuts its connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from controller_runtime.client.kubernetes_client import Client
from controller_runtime.errors import AlreadyExists
from controller_runtime.resources import NAMESPACES, Resource
from hack.envtest import binaries
from hack.envtest.control_plane import ControlPlane
from hack.localcluster.actors.actors import Actors, Parts
from hack.localcluster.apiserver.objects import AuditEntry
from hack.localcluster.cloud import AksCloud, CloudIdentity
from hack.localcluster.durations import Durations
from hack.localcluster.faults import FaultPlan
from hack.localcluster.timeline import Timeline

PARTS = Parts(controllers=False, garbage=False, scheduler=False, node_lifecycle=False)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)
TOKEN_LIFETIME_S = 3600


class AuditedServer:
    """What tests ask of the API server itself."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    @property
    def audit(self) -> list[AuditEntry]:
        """Every request so far, oldest first. A watch counts when it begins; its end is no request."""
        return [audit_entry(event) for event in self._plane.audit_events() if is_request(event)]


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
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.plane = self._stack.enter_context(ControlPlane(binaries.ensure_control_plane(self._minor)))
        self.apiserver = AuditedServer(self.plane)
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

    def kubeconfig_for(self, user: str, groups: Sequence[str] | None = None) -> Path:
        """A kubeconfig: for `system:serviceaccount:<namespace>:<name>` a token from the TokenRequest API, for others a certificate."""
        path = self.plane.folder / f"{user.replace(':', '-')}.kubeconfig"
        parts = user.split(":")
        if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]:
            token = path.with_suffix(".token")
            token.write_text(self._service_account_token(parts[2], parts[3]))
            return self.plane.write_token_kubeconfig(path, user, token)
        return self.plane.write_certificate_kubeconfig(path, user, list(groups or []))

    def _service_account_token(self, namespace: str, name: str) -> str:
        """As the kubelet asks for one; namespace and account are made where they are missing."""
        client = self.client()
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
        home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        for resource, obj, place in ((NAMESPACES, home, None), (SERVICE_ACCOUNTS, account, namespace)):
            try:
                client.create(resource, obj, place)
            except AlreadyExists:
                continue
        spec = {"expirationSeconds": TOKEN_LIFETIME_S}
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        reply = client.post(SERVICE_ACCOUNTS.path(namespace, name, "token"), request)
        return str(reply["status"]["token"])


def is_request(event: dict[str, Any]) -> bool:
    """Does an audit event stand for a request to a resource, once for each?"""
    stage = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
    return "objectRef" in event and event["stage"] == stage


def audit_entry(event: dict[str, Any]) -> AuditEntry:
    """An event of the audit log in localcluster's words."""
    reference = event["objectRef"]
    return AuditEntry(
        user=event["user"]["username"],
        agent=event.get("userAgent", ""),
        verb=event["verb"],
        group=reference.get("apiGroup", ""),
        resource=reference.get("resource", ""),
        subresource=reference.get("subresource", ""),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        path=event["requestURI"],
        code=int(event.get("responseStatus", {}).get("code", 0)),
        dry_run="dryRun=" in event["requestURI"],
    )
