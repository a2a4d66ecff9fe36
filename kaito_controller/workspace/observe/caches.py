"""The caches that the reconciler reads, and the indices that keep each look small however many Workspaces there are.

Indices answer the questions of `observe` directly: the Machines of a Workspace, the objects it controls, the free nodes of an instance
type. None of them is a scan, so a reconcile costs the same among ten Workspaces and among ten thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from controller_runtime.conditions import is_true
from controller_runtime.resources import Object, annotations_of, controller_of, is_deleting, labels_of, namespace_of
from kaito_controller.api import conditions, labels
from kaito_controller.api.schema import MAX_INSTANCE_TYPES
from kaito_controller.api.types import DEFAULT_INSTANCE_TYPE
from kaito_controller.nodeapi import api_of, vocabulary
from kaito_controller.nodeapi.port import NodeApi
from kaito_controller.workspace.state import naming
from kaito_controller.workspace.state.machines import owner_key
from kaito_controller.workspace.state.snapshot import Claim

BY_WORKSPACE = "workspace"
BY_NAMESPACE = "namespace"
EVERYWHERE = ""
"""What `BY_NAMESPACE` has for the Machines of all Workspaces together; no namespace is called so."""
BY_NODE = "node"
BY_OWNER = "owner"
FREE = "free"
HELD = "held"
ANY_TYPE = "*"
"""Value of the indices by instance type that holds the nodes of all types."""
CLAIMED_BY = "claimed-by"
WANTING = "wanting"
BY_CONFIG = "config"


class Cache(Protocol):
    """The part of an informer that is read here."""

    def get(self, name: str, namespace: str | None = None) -> Object | None: ...
    def by_index(self, index: str, value: str) -> list[Object]: ...
    def has_seen(self, resource_version: str) -> bool: ...
    def fresh_for_s(self) -> float | None: ...


class MachineCache(Protocol):
    """What was ordered, by whichever API; empty where no such API is installed."""

    @property
    def installed(self) -> Collection[NodeApi]:
        """Those that can be read."""

    @property
    def api(self) -> NodeApi:
        """By which new nodes are ordered."""

    @property
    def available(self) -> bool:
        """They can be ordered."""

    def get(self, name: str) -> Object | None: ...
    def by_index(self, index: str, value: str) -> list[Object]: ...
    def fresh_for_s(self) -> float | None: ...


class Fresh(Protocol):
    """Knows how long it has been current."""

    def fresh_for_s(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Caches:
    """One of each. All but `workspaces`, `nodes`, `machines` and `config_maps` hold only objects labelled for a Workspace."""

    workspaces: Cache
    machines: MachineCache
    nodes: Cache
    pods: Cache
    services: Cache
    deployments: Cache
    stateful_sets: Cache
    jobs: Cache
    config_maps: Cache

    @property
    def owned(self) -> tuple[Cache, ...]:
        """The caches of what a Workspace controls."""
        return (self.services, self.deployments, self.stateful_sets, self.jobs, self.config_maps)


def read_claim(node: Object) -> Claim | None:
    """Who claimed a node; None for nobody, and for a mark that cannot be read."""
    parts = annotations_of(node).get(naming.CLAIM, "").split("/")
    return Claim(*parts) if len(parts) == 3 and all(parts) else None


def instance_type_of(node: Object) -> str:
    found = labels_of(node)
    return found.get(vocabulary.INSTANCE_TYPE) or found.get(vocabulary.INSTANCE_TYPE_BETA) or ""


def type_key(instance_type: str) -> str:
    """Where nodes for this wish are found: the default type is nobody's wish, so that nodes of any type may do."""
    wanted = instance_type.lower()
    return ANY_TYPE if wanted == DEFAULT_INSTANCE_TYPE.lower() else wanted


def _workspace_of(obj: Object) -> Iterable[str]:
    key = owner_key(obj)
    return (key,) if key else ()


def _workspace_of_pod(obj: Object) -> Iterable[str]:
    name = labels_of(obj).get(labels.WORKSPACE)
    return (f"{namespace_of(obj)}/{name}",) if name else ()


def _namespaces_of(machine: Object) -> Iterable[str]:
    namespace, _, _ = owner_key(machine).partition("/")
    return (namespace, EVERYWHERE) if namespace else ()


def _node_of(machine: Object) -> Iterable[str]:
    name = api_of(machine).read(machine).node_name
    return (name,) if name else ()


def owner_uid(obj: Object) -> Iterable[str]:
    """UID of the controlling Workspace."""
    reference = controller_of(obj)
    return (str(reference.get("uid")),) if reference and reference.get("kind") == labels.KIND else ()


def _free_type(node: Object) -> Iterable[str]:
    if _is_held(node) or is_deleting(node):
        return ()
    return _type_of(node)


def _held_type(node: Object) -> Iterable[str]:
    return _type_of(node) if _is_held(node) else ()


def _is_held(node: Object) -> bool:
    return bool(owner_key(node)) or read_claim(node) is not None


def _type_of(node: Object) -> Iterable[str]:
    """In lower case: Azure's names are the same in any letter case."""
    found = instance_type_of(node).lower()
    return (found, ANY_TYPE) if found else (ANY_TYPE,)


def _claimed_by(node: Object) -> Iterable[str]:
    claim = read_claim(node)
    return (claim.uid, claim.key) if claim else ()


def _wanting(workspace: Object) -> Iterable[str]:
    """What a Workspace that lacks nodes looks out for: free nodes of its instance types, and its preferred nodes by name."""
    resource = workspace.get("resource") or {}
    preferred = [f"node/{name}" for name in resource.get("preferredNodes") or []]
    if is_true((workspace.get("status") or {}).get("conditions"), conditions.RESOURCE_READY):
        return preferred
    listed = resource.get("instanceTypes")
    asked = listed if isinstance(listed, list) and listed else [resource.get("instanceType") or DEFAULT_INSTANCE_TYPE]
    return [*preferred, *(type_key(str(name)) for name in asked[:MAX_INSTANCE_TYPES])]


def _config_of(workspace: Object) -> Iterable[str]:
    """The name of the ConfigMap that a Workspace reads: its own, or the default of its tuning method."""
    inference, tuning = workspace.get("inference"), workspace.get("tuning")
    if isinstance(inference, Mapping):
        return (str(inference["config"]),) if inference.get("config") else ()
    if not isinstance(tuning, Mapping):
        return ()
    return (str(tuning.get("config") or f"{str(tuning.get('method')).lower()}-params-template"),)


WORKSPACE_INDICES = {WANTING: _wanting, BY_CONFIG: _config_of}
MACHINE_INDICES = {BY_WORKSPACE: _workspace_of, BY_NAMESPACE: _namespaces_of, BY_NODE: _node_of}
NODE_INDICES = {FREE: _free_type, HELD: _held_type, CLAIMED_BY: _claimed_by}
POD_INDICES = {BY_WORKSPACE: _workspace_of_pod}
OWNED_INDICES = {BY_OWNER: owner_uid}
