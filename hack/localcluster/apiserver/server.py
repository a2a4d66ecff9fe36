"""The API server as one object: a thread with an event loop, HTTPS (and plain HTTP for tests) on loopback.

All state lives in that thread. `start` returns when requests are answered; `stop` ends all connections and the thread.
"""

from __future__ import annotations

import asyncio
import base64
import concurrent.futures
import logging
import secrets
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import orjson

from hack.localcluster.apiserver.auth import Authenticator
from hack.localcluster.apiserver.behaviour import SYSTEM, TypeBehaviour
from hack.localcluster.apiserver.builtins import builtin_types
from hack.localcluster.apiserver.dispatch import Dispatcher
from hack.localcluster.apiserver.handler import Handler, Parts
from hack.localcluster.apiserver.objects import AuditEntry, Object, Write
from hack.localcluster.apiserver.podlogs import ContainerLogs
from hack.localcluster.apiserver.proxying import Backend
from hack.localcluster.apiserver.rbac import GROUP as RBAC_GROUP
from hack.localcluster.apiserver.rbac import Rbac, default_objects
from hack.localcluster.apiserver.registry import Registry
from hack.localcluster.apiserver.reviews import Reviews
from hack.localcluster.apiserver.store import Store, StoredChange
from hack.localcluster.apiserver.subresources import Subresources
from hack.localcluster.apiserver.tls import ensure_certificates
from hack.localcluster.apiserver.webserver import web
from hack.localcluster.faults import FaultPlan

logger = logging.getLogger("localcluster.apiserver")
T = TypeVar("T")
_BODY_LIMIT = 3 * 1024 * 1024
_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


@dataclass(slots=True)
class ServerOptions:
    """How an ApiServer behaves.

    `folder` keeps the CA and key (a temporary one if None). `port` 0 takes a free one. `plain_http` adds a second listener without TLS
    on which everybody is admin, for benches and unit tests. `history_limit` is the watch window in changes per resource.
    """

    folder: Path | None = None
    port: int = 0
    plain_http: bool = False
    rbac: bool = False
    faults: FaultPlan | None = None
    history_limit: int = 20_000
    bookmark_interval_s: float = 60.0
    freshness_s: float = 3.0
    admin_token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    keep_log: bool = True


class ApiServer:
    """A running (or stopped) API server."""

    def __init__(self, options: ServerOptions | None = None) -> None:
        self.options = options or ServerOptions()
        self.faults = self.options.faults or FaultPlan()
        self.port = 0
        self.plain_port = 0
        self.ca_file = Path()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.ServerRunner | None = None
        self._store: Store | None = None

    @property
    def url(self) -> str:
        """The HTTPS address."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def plain_url(self) -> str:
        """The plain HTTP address, where everybody is admin; only with `plain_http`."""
        return f"http://127.0.0.1:{self.plain_port}"

    @property
    def audit(self) -> Sequence[AuditEntry]:
        """Every request that has ended (watches: when they end), oldest first."""
        return self._handler.audit

    @property
    def events_log(self) -> Sequence[StoredChange]:
        """Every committed change since the start, oldest first; empty without `keep_log`."""
        return self.store.log or ()

    @property
    def store(self) -> Store:
        """The store; to be changed in the server's own thread only (see `call`)."""
        if self._store is None:
            raise RuntimeError("the API server is not started")
        return self._store

    def start(self) -> ApiServer:
        """Serve; returns when requests are answered."""
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="localcluster-apiserver", daemon=True)
        self._thread.start()
        ready.result(timeout=30)
        return self

    def stop(self) -> None:
        """Stop serving. Watches end without a last word, as when a server dies."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=30)
            self._thread = None
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> ApiServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def call(self, function: Callable[[], T], timeout_s: float = 30) -> T:
        """Run a function in the server's thread, where it may touch the store."""
        if self._loop is None:
            raise RuntimeError("the API server is not started")
        if threading.current_thread() is self._thread:
            return function()
        done: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:
                done.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return done.result(timeout=timeout_s)

    def compact(self) -> int:
        """Forget the watch history now; returns the resourceVersion from which watches may still start."""
        return self.call(lambda: self.store.compact())

    def snapshot(self) -> bytes:
        """The whole state, to keep in a file."""
        return self.call(lambda: orjson.dumps(self.store.dump(), option=orjson.OPT_INDENT_2))

    def restore(self, state: bytes, *, keep_counting: bool = False) -> None:
        """Become a snapshot. By default the resourceVersion goes back to the snapshot's, as after restoring an etcd backup; with
        `keep_counting` it goes on from where it is."""

        def load() -> None:
            self.store.load(orjson.loads(state), minimum_rv=self.store.rv + 1 if keep_counting else 0)
            self._behaviour.custom.load()

        self.call(load)

    def issue_token(self, user: str, groups: Sequence[str] = ()) -> str:
        """A bearer token for a user; also for `system:serviceaccount:NS:NAME`."""
        return self._authenticator.issue(user, groups)

    @property
    def proxy_backend(self) -> Backend | None:
        """Who answers the `proxy` subresource: (resource, namespace, name, port) to a base URL. Called in a thread of its own."""
        return self._handler.parts.proxy_backend

    @proxy_backend.setter
    def proxy_backend(self, backend: Backend | None) -> None:
        self._handler.parts.proxy_backend = backend

    @property
    def container_logs(self) -> ContainerLogs | None:
        """What containers that really run have said: (UID of the pod, container, previous) to text, None for a played one."""
        return self._handler.parts.dispatcher.container_logs

    @container_logs.setter
    def container_logs(self, logs: ContainerLogs | None) -> None:
        self._handler.parts.dispatcher.container_logs = logs

    def write_kubeconfig(self, path: Path, *, user: str = "admin", groups: Sequence[str] | None = None) -> Path:
        """A kubeconfig for a user, as JSON (which is YAML too); `admin` is in `system:masters`."""
        is_admin = user == "admin" and groups is None
        token = self.options.admin_token if is_admin else self.issue_token(user, groups or ())
        cluster = {"server": self.url, "certificate-authority-data": _base64(self.ca_file.read_bytes())}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "localcluster", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "localcluster", "context": {"cluster": "localcluster", "user": user}}],
            "current-context": "localcluster",
        }
        path.touch(mode=0o600)
        path.write_bytes(orjson.dumps(config, option=orjson.OPT_INDENT_2))
        return path

    def _run(self, ready: concurrent.futures.Future[None]) -> None:
        loop = self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._listen())
        except BaseException as error:
            ready.set_exception(error)
            loop.close()
            return
        ready.set_result(None)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(self._close())
            loop.close()

    async def _listen(self) -> None:
        folder = self.options.folder
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="localcluster-")
            folder = Path(self._temporary.name)
        self.ca_file, context = ensure_certificates(folder)
        self._build(folder)
        server = self._server = web.Server(
            self._handler, request_factory=_request, handler_cancellation=True, access_log=None
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        secure = web.TCPSite(self._runner, "127.0.0.1", self.options.port, ssl_context=context, reuse_address=True)
        await secure.start()
        self.port = _port(secure)
        if self.options.plain_http:
            plain = web.TCPSite(self._runner, "127.0.0.1", 0)
            await plain.start()
            self.plain_port = _port(plain)

    def _build(self, folder: Path) -> None:
        options = self.options
        store = self._store = Store(history_limit=options.history_limit, keep_log=options.keep_log)
        registry = Registry(builtin_types())
        self._behaviour = TypeBehaviour(store, registry)
        self._authenticator = Authenticator(store, folder, options.admin_token)
        rbac = Rbac(store, enforced=options.rbac)
        verbs = self._behaviour.verbs
        subresources = Subresources(verbs, self._authenticator)
        dispatcher = Dispatcher(verbs, Reviews(self._authenticator, rbac), subresources, rbac)
        parts = Parts(
            store,
            registry,
            self._authenticator,
            rbac,
            dispatcher,
            self.faults,
            bookmark_interval_s=options.bookmark_interval_s,
            freshness_s=options.freshness_s,
        )
        self._handler = Handler(parts)
        self._seed(registry)

    def _seed(self, registry: Registry) -> None:
        bodies: list[Object] = [{"kind": "Namespace", "metadata": {"name": name}} for name in _NAMESPACES]
        for body in [*bodies, *default_objects()]:
            api_version = "v1" if body["kind"] == "Namespace" else f"{RBAC_GROUP}/v1"
            kind = registry.by_kind(api_version, body["kind"])
            assert kind is not None, "built in"
            self._behaviour.verbs.create(kind, "", body, Write(SYSTEM, "kube-apiserver"))

    async def _close(self) -> None:
        self.store.close_watches()
        # A TLS connection that is only closed waits for its peer's goodbye, which this loop would not live to hear.
        for connection in list(self._server.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0)
        if self._runner is not None:
            await self._runner.cleanup()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _request(message, payload, protocol, writer, task) -> web.BaseRequest:  # type: ignore[no-untyped-def]  # noqa: ANN001
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_LIMIT)


def _port(site: web.TCPSite) -> int:
    server = site._server
    assert isinstance(server, asyncio.Server)
    port: int = server.sockets[0].getsockname()[1]
    return port


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
