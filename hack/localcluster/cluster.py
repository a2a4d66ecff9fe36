"""One cluster with one cloud, in one process: API server, actors, AKS stand-in, faults, admin endpoint, state file.

The order of starting matters: the API server first, then what was saved, then the actors that look at it, then the cloud that boots VMs.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog

from controller_runtime.client.kubernetes_client import Client
from hack.localcluster.actors.actors import Actors
from hack.localcluster.admin import admin_server
from hack.localcluster.apiserver.server import ApiServer, ServerOptions
from hack.localcluster.backends import Backends
from hack.localcluster.cloud import AksCloud, CloudIdentity
from hack.localcluster.durations import Durations
from hack.localcluster.endpoint import token_client
from hack.localcluster.faults import FaultPlan
from hack.localcluster.loopback import LoopbackServer
from hack.localcluster.programs.images import ProgramsError, read_images
from hack.localcluster.programs.runner import Programs
from hack.localcluster.timeline import Timeline

log = structlog.get_logger("localcluster")

ACTORS_USER = "system:localcluster"
SAVE_PERIOD_S = 15.0
STATE_VERSION = 1


class StateFileError(ValueError):
    """A state file that is not one; the message names the file and the cure."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """How a LocalCluster is put together. `directory` holds kubeconfigs and certificates; a temporary one when None."""

    time_scale: float = 60.0
    state_file: Path | None = None
    directory: Path | None = None
    rbac: bool = True
    actors: bool = True
    cloud: bool = True
    canaries: bool = True
    port: int = 0
    cloud_port: int = 0
    admin_port: int = 0
    durations: Durations = field(default_factory=Durations)
    identity: CloudIdentity = field(default_factory=CloudIdentity)
    cloud_page_size: int = 20
    operation_retry_after_s: int | None = None
    programs: Path | None = None
    """A file of images whose containers run instead of being played (`programs/images.py`)."""


class LocalCluster:
    """A context manager; everything listens on loopback only.

    `faults` is one plan for both servers; the other attributes are there once it is started; `kubeconfig` is the admin's.
    """

    faults: FaultPlan
    apiserver: ApiServer
    timeline: Timeline
    actors: Actors
    cloud: AksCloud
    admin: LoopbackServer
    directory: Path
    kubeconfig: Path

    def __init__(
        self, options: ClusterOptions | None = None, *, faults: FaultPlan | None = None, **overrides: Any
    ) -> None:
        """`overrides` are fields of `ClusterOptions`, for short calls such as `LocalCluster(time_scale=600)`."""
        self.options = options or ClusterOptions(**overrides)
        if self.options.programs is not None and self.options.state_file is not None:
            raise ProgramsError("--programs and --state: programs do not outlive the cluster; leave one of them out")
        self.faults = faults or FaultPlan()
        self.backends = Backends()
        self._stack = ExitStack()
        self._stopped = threading.Event()
        self._saver: threading.Thread | None = None
        self._saved_version = -1

    def start(self) -> Self:
        """Bring everything up; returns when operators and kubectl can work with it. What fails half-way takes itself down again."""
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def stop(self) -> None:
        """Save the state if it is kept, then take everything down."""
        self._stopped.set()
        if self._saver is not None:
            self._saver.join(10.0)
            self.save()
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        options = self.options
        self.directory = self._make_directory(stack)
        state = self._read_state()
        self.timeline = Timeline(options.time_scale)
        self._start_apiserver(stack, state)
        self.timeline.start()
        stack.callback(self.timeline.stop)
        self._build_world()
        stack.callback(self.actors.stop if options.actors else self.actors.models.stop)
        if options.actors:
            self.actors.start()
        stack.callback(self.cloud.stop if options.cloud else self.cloud.server.stop)
        if options.cloud:
            self._start_cloud(state)
        with naming("--admin-port", options.admin_port):
            self.admin = admin_server(self, options.admin_port)
        stack.callback(self.admin.stop)
        self.admin.start()
        if options.state_file:
            self._saver = threading.Thread(target=self._save_regularly, name="state", daemon=True)
            self._saver.start()

    def _start_apiserver(self, stack: ExitStack, state: dict[str, Any] | None) -> None:
        options = self.options
        server_options = ServerOptions(folder=self.directory, port=options.port, rbac=options.rbac, faults=self.faults)
        self.apiserver = ApiServer(server_options)
        with naming("--port", options.port):
            self.apiserver.start()
        stack.callback(self.apiserver.stop)
        if state:
            self.apiserver.restore(json.dumps(state["kube"]).encode())
        self.kubeconfig = self.apiserver.write_kubeconfig(self.directory / "kubeconfig")

    @property
    def url(self) -> str:
        """Address of the API server."""
        return self.apiserver.url

    @property
    def environment(self) -> dict[str, str]:
        """What the operators need to find this cluster and its cloud."""
        return {"KUBECONFIG": str(self.kubeconfig), **self.cloud.environment}

    def client(self, user: str | None = None, *, user_agent: str = "localcluster-test") -> Client:
        """A client of the API server, as admin or as another user."""
        path = self.kubeconfig if user is None else self.kubeconfig_for(user)
        return Client.from_kubeconfig(path, user_agent=user_agent)

    def kubeconfig_for(self, user: str, groups: Sequence[str] | None = None) -> Path:
        """A kubeconfig for a user or a service account (`system:serviceaccount:<namespace>:<name>`), with its usual groups."""
        if groups is None:
            groups = service_account_groups(user)
        path = self.directory / f"kubeconfig-{user.replace(':', '-').replace('/', '-')}"
        return self.apiserver.write_kubeconfig(path, user=user, groups=groups)

    def save(self) -> bool:
        """Write the state file (atomically); False when none is kept or nothing changed."""
        path = self.options.state_file
        if path is None:
            return False
        state = {
            "version": STATE_VERSION,
            "kube": json.loads(self.apiserver.snapshot()),
            "cloud": self.cloud.snapshot(),
        }
        text = json.dumps(state)
        if hash(text) == self._saved_version:
            return False
        temporary = path.with_suffix(path.suffix + ".new")
        temporary.write_text(text)
        os.replace(temporary, path)
        self._saved_version = hash(text)
        return True

    def _make_directory(self, stack: ExitStack) -> Path:
        if self.options.directory is not None:
            self.options.directory.mkdir(parents=True, exist_ok=True)
            return self.options.directory
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="localcluster-")))

    def _read_state(self) -> dict[str, Any] | None:
        path = self.options.state_file
        if path is None or not path.exists():
            return None
        try:
            state = json.loads(path.read_text())
        except ValueError as error:
            raise StateFileError(f"--state {path}: not JSON ({error}); remove the file to start afresh") from error
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            raise StateFileError(f"--state {path}: not a state file of this version; remove it to start afresh")
        return state

    def _backend(self, resource: str, namespace: str, name: str, port: str) -> str | None:
        told = self.backends.url_of(resource, namespace, name)
        return told or self.actors.backend(resource, namespace, name, port)

    def _build_world(self) -> None:
        options = self.options
        token = self.apiserver.issue_token(ACTORS_USER, ("system:masters",))
        client = token_client(self.apiserver.url, self.apiserver.ca_file, token, "localcluster-actors")
        programs = None
        if options.programs is not None:
            programs = Programs(client, read_images(options.programs), self.directory / "programs")
            self.apiserver.container_logs = programs.log
        self.actors = Actors(
            client, self.timeline, durations=options.durations, identity=options.identity, programs=programs
        )
        self.apiserver.proxy_backend = self._backend
        with naming("--cloud-port", options.cloud_port):
            self.cloud = AksCloud(
                self.faults,
                identity=options.identity,
                timeline=self.timeline,
                durations=options.durations,
                host=self.actors.fleet if options.actors else None,
                port=options.cloud_port,
                page_size=options.cloud_page_size,
                operation_retry_after_s=options.operation_retry_after_s,
            )

    def _start_cloud(self, state: dict[str, Any] | None) -> None:
        self.cloud.start()
        if state:
            self.cloud.restore(state["cloud"])
        elif self.options.canaries:
            self.cloud.add_canaries()

    def _save_regularly(self) -> None:
        while not self._stopped.wait(SAVE_PERIOD_S):
            try:
                self.save()
            except OSError as error:
                log.warning("the state could not be saved", path=str(self.options.state_file), error=str(error))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextmanager
def naming(flag: str, port: int) -> Iterator[None]:
    """Turn a port that cannot be had into an error that names its flag."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{flag} {port}: {error.strerror or error}; choose another port, or 0 for a free one") from error


def service_account_groups(user: str) -> tuple[str, ...]:
    """The groups that a service account is in; none for other users."""
    parts = user.split(":")
    if len(parts) == 4 and parts[:2] == ["system", "serviceaccount"]:
        return ("system:serviceaccounts", f"system:serviceaccounts:{parts[2]}")
    return ()
