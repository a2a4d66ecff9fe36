"""A `KubeClient` and informers on top of localcluster's own API server rules, without HTTP, threads or real time.

The same code decides here as behind the sockets (schema, status isolation, finalizers, preconditions), so that thousands of faults can
be tried in seconds. Informers here deliver when a test says so, which is how caches are made stale on purpose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import yaml

from controller_runtime.client.api import ObjectList, PatchType
from controller_runtime.client.status import error_from_status
from controller_runtime.errors import TooManyRequests
from controller_runtime.resources import Object, Resource, key_of
from gpu_provisioner.api.labels import MACHINES
from gpu_provisioner.api.node_claim import NODE_CLAIMS
from hack.localcluster.apiserver import patching, reading
from hack.localcluster.apiserver.behaviour import TypeBehaviour
from hack.localcluster.apiserver.builtins import builtin_types
from hack.localcluster.apiserver.errors import StatusError, no_such_path
from hack.localcluster.apiserver.objects import Caller, Write
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.schema import builtin_kind_schema
from hack.localcluster.apiserver.store import Store, StoredChange

CRD_FILES = {
    resource: Path(__file__).parents[3] / f"config/crd/karpenter.sh_{resource.plural}.yaml"
    for resource in (MACHINES, NODE_CLAIMS)
}
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False)


class DirectServer:
    """The rules and the store of one API server, with the CRD of one node API installed."""

    def __init__(self, node_api: Resource = MACHINES) -> None:
        self.store = Store()
        self.registry = Registry(builtin_types())
        self.behaviour = TypeBehaviour(self.store, self.registry)
        self.verbs = self.behaviour.verbs
        self.blocked_by_budget: set[str] = set()
        admin = self.client("admin")
        admin.create(NAMESPACES, {"metadata": {"name": "default"}})
        admin.create(CRDS, _crd(node_api))

    def client(self, user: str, gate: Callable[[str, Callable[[], Any]], Any] | None = None) -> DirectClient:
        """A client whose writes pass through `gate(description, commit)`."""
        return DirectClient(self, user, gate or (lambda _, commit: commit()))

    def kind(self, resource: Resource) -> ResourceType:
        """Raises NotFound, as for a URL that is not served, where the type is not installed."""
        found = self.registry.get(resource.group, resource.version, resource.plural)
        if found is None:
            missing = no_such_path()
            raise error_from_status(missing.to_status(), code=missing.code)
        return found

    def objects(self, resource: Resource) -> list[Object]:
        """Everything stored, past any cache."""
        kind = self.kind(resource)
        return [entry.copy() for entry in self.store.collection(kind.storage).select("")]

    def uids(self, resource: Resource) -> set[str]:
        """Of everything stored; without a copy, as some rules ask at each write."""
        return {entry.obj["metadata"]["uid"] for entry in self.store.collection(self.kind(resource).storage).select("")}


class DirectClient:
    """Implements the verbs that the provisioner uses; raises the same errors as the HTTP client."""

    def __init__(self, server: DirectServer, user: str, gate: Callable[[str, Callable[[], Any]], Any]) -> None:
        self._server = server
        self._caller = Caller(user, ("system:masters",), user)
        self._gate = gate

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object:
        return _translated(lambda: self._server.verbs.entry(self._server.kind(resource), namespace or "", name).copy())

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        **_: Any,
    ) -> ObjectList:
        query = {"labelSelector": label_selector or "", "fieldSelector": field_selector or ""}
        kind = self._server.kind(resource)
        found = _translated(lambda: reading.list_objects(self._server.store, kind, namespace or "", query))
        return ObjectList([entry.copy() for entry in found.entries], found.metadata["resourceVersion"])

    def create(self, resource: Resource, obj: Mapping[str, Any], namespace: str | None = None, **_: Any) -> Object:
        kind = self._server.kind(resource)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **obj}
        where = namespace or (obj.get("metadata") or {}).get("namespace") or ""
        return self._write(f"create {resource.plural}", lambda v: v.create(kind, where, body, self._as()).copy())

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
        **_: Any,
    ) -> Object:
        kind = self._server.kind(resource)
        change = _change(resource, patch_type, patch)
        what = f"patch {resource.plural}{'/' + subresource if subresource else ''} {name}"
        return self._write(
            what,
            lambda v: v.modify(
                kind,
                namespace or "",
                name,
                change,
                self._as(),
                subresource=subresource or "",
            ).copy(),
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_s: int | None = None,
        **_: Any,
    ) -> None:
        conditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
        options: Object = {"preconditions": conditions} if conditions else {}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        kind = self._server.kind(resource)
        self._write(
            f"delete {resource.plural} {name}",
            lambda v: v.delete(kind, namespace or "", name, options, self._as()),
        )

    def post(self, path: str, body: Mapping[str, Any]) -> Object:
        """Only pods/eviction."""
        parts = path.strip("/").split("/")
        assert parts[-1] == "eviction", path
        namespace, name = parts[3], parts[5]
        pods = self._server.kind(Resource("", "v1", "pods", "Pod", True))
        if f"{namespace}/{name}" in self._server.blocked_by_budget:
            raise TooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", code=429)
        options = dict(body.get("deleteOptions") or {})
        self._write(f"evict {name}", lambda v: v.delete(pods, namespace, name, options, self._as()))
        return {}

    def _as(self) -> Write:
        return Write(self._caller)

    def _write(self, what: str, commit: Callable[[Any], Any]) -> Any:
        return self._gate(what, lambda: _translated(lambda: commit(self._server.verbs)))


def _change(resource: Resource, patch_type: PatchType, patch: Any) -> Callable[[Object], Any]:
    if patch_type is PatchType.MERGE:
        return lambda obj: patching.merge_patch(obj, patch)
    assert patch_type is PatchType.STRATEGIC
    schema = builtin_kind_schema(resource.api_version, resource.kind)
    return lambda obj: patching.strategic_patch(obj, patch, schema)


@functools.cache
def _crd_text(node_api: Resource) -> bytes:
    """As JSON: reading the YAML anew for each of thousands of worlds would take longer than the worlds do."""
    return orjson.dumps(yaml.safe_load(CRD_FILES[node_api].read_text()))


def _crd(node_api: Resource) -> Object:
    crd: Object = orjson.loads(_crd_text(node_api))
    return crd


def _translated(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except StatusError as error:
        raise error_from_status(error.to_status(), code=error.code) from None


class DirectInformer:
    """A cache that moves only in `deliver`; handlers are called in the same thread."""

    def __init__(self, server: DirectServer, resource: Resource) -> None:
        self.resource = resource
        self._server = server
        self._storage = server.kind(resource).storage
        self._objects: dict[str, Object] = {}
        self._position = 0
        self._indexers: dict[str, Callable[[Object], Iterable[str]]] = {}
        self._handlers: list[Any] = []
        self.held = False

    def add_indexers(self, indexers: Mapping[str, Callable[[Object], Iterable[str]]] | None) -> None:
        self._indexers |= indexers or {}

    # what a controller needs of a source

    def add_handler(self, handler: Any) -> DirectInformer:
        self._handlers.append(handler)
        for obj in self._objects.values():
            handler.on_add(obj, True)
        return self

    def remove(self) -> None:
        return None

    def wait_for_sync(self, timeout_s: float) -> bool:
        return timeout_s >= 0

    def healthy(self) -> str | None:
        return None

    # what a reconciler reads

    def get(self, name: str, namespace: str | None = None) -> Object | None:
        return self._objects.get(f"{namespace}/{name}" if namespace else name)

    def list(self, namespace: str | None = None) -> list[Object]:
        return [o for o in self._objects.values() if namespace in (None, o["metadata"].get("namespace"))]

    def by_index(self, index: str, value: str) -> list[Object]:
        return [obj for obj in self._objects.values() if value in self._indexers[index](obj)]

    def has_seen(self, resource_version: str) -> bool:
        log = self._server.store.log or []
        return self._position > 0 and log[self._position - 1].rv >= int(resource_version)

    def fresh_for_s(self) -> float | None:
        """It has followed the server since its first list, however far behind it is."""
        return float("inf")

    # what a test moves

    def deliver(self) -> bool:
        """Take over everything committed since the last time; True when there was something."""
        log = self._server.store.log or []
        if self.held or self._position == len(log):
            return False
        fresh = [c for c in log[self._position :] if c.resource == self._storage]
        self._position = len(log)
        for change in fresh:
            self._apply(change)
        return bool(fresh)

    def _apply(self, change: StoredChange) -> None:
        new = change.entry.copy()
        key = key_of(new)
        old = self._objects.pop(key, None)
        if change.event == "DELETED":
            for handler in self._handlers:
                handler.on_delete(new, False)
            return
        self._objects[key] = new
        for handler in self._handlers:
            if old is None:
                handler.on_add(new, False)
            else:
                handler.on_update(old, new)
