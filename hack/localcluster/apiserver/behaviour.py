"""What single types add to the verbs: defaults and rules of built-ins, namespaces and CRDs that empty before they go, pod grace.

This is the set-up; the knowledge is in the modules that it calls.
"""

from __future__ import annotations

from hack.localcluster.apiserver import apply, builtin_rules
from hack.localcluster.apiserver.admission import Attempt, Policies
from hack.localcluster.apiserver.customtypes import CustomTypes
from hack.localcluster.apiserver.errors import StatusError, forbidden
from hack.localcluster.apiserver.objects import Caller, Object, Write
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.store import Store, StoredChange
from hack.localcluster.apiserver.verbs import Verbs

NAMESPACES = ("", "namespaces")
CRDS = ("apiextensions.k8s.io", "customresourcedefinitions")
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
SYSTEM = Caller("system:apiserver", ("system:masters",), "localcluster")


class TypeBehaviour:
    """The steps of the pipeline in `verbs.py` that depend on the type. `old` is None for a create; objects are changed in place."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry
        self.custom = CustomTypes(registry, store)
        self.rules = builtin_rules.BuiltinRules(store)
        self.policies = Policies(store, registry)
        self.verbs = Verbs(store, registry, self)
        store.listeners.append(self.on_change)

    def prepare(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
        """Prune, default and set the server's fields; then validate."""
        if kind.storage == CRDS and subresource != "status":
            self.custom.prepare_definition(kind, old, new)
        if kind.custom:
            kind.custom.prepare(kind, old, new, write, subresource)
        else:
            self.rules.prepare(kind, old, new, write, subresource)

    def check_decodable(self, kind: ResourceType, obj: Object) -> None:
        """400 for a built-in object that Go's type cannot hold, in a part that is not going to be looked at as well."""
        if not kind.custom:
            builtin_rules.check_decodable(kind, obj)

    def admit(
        self,
        kind: ResourceType,
        old: Object | None,
        new: Object | None,
        write: Write,
        operation: str,
        subresource: str = "",
    ) -> None:
        """Ask the admission policies; protect the namespaces that nobody may delete."""
        if operation == "DELETE" and kind.storage == NAMESPACES and old and old["metadata"]["name"] in _IMMORTAL:
            raise forbidden(kind, old["metadata"]["name"], "this namespace may not be deleted")
        self.policies.admit(Attempt(kind, old, new, operation, subresource), write)

    def track(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
        """Keep `managedFields`."""
        apply.track(kind, old, new, write, subresource)

    def merge(
        self, kind: ResourceType, live: Object | None, intent: Object, write: Write, *, force: bool, subresource: str
    ) -> Object:
        """Server-side apply of an intent."""
        return apply.apply(kind, live, intent, write, force=force, subresource=subresource)

    def grace_s(self, kind: ResourceType, obj: Object, options: Object) -> int:
        """Pods that run somewhere wait for their kubelet; all else goes at once."""
        return builtin_rules.pod_grace_s(obj, options) if kind.storage == ("", "pods") else 0

    def removal_blocked(self, kind: ResourceType, obj: Object) -> bool:
        """A namespace waits for its objects, a CRD for its instances."""
        if kind.storage == NAMESPACES:
            return any(True for _ in self._contents(obj["metadata"]["name"]))
        if kind.storage == CRDS:
            return bool(self.store.collection(_instances(obj)).entries)
        return False

    def _make_default_account(self, namespace: str) -> None:
        kind = self.registry.get("", "v1", "serviceaccounts")
        if kind is not None and self.store.get(kind.storage, (namespace, "default")) is None:
            self.verbs.create(
                kind, namespace, {"metadata": {"name": "default"}}, Write(SYSTEM, "kube-controller-manager")
            )

    def _contents(self, namespace: str) -> list[tuple[ResourceType, str]]:
        found: list[tuple[ResourceType, str]] = []
        for kind in self.registry:
            if kind.namespaced and not kind.converts and "delete" in kind.verbs:
                entries = self.store.collection(kind.storage).select(namespace)
                found.extend((kind, entry.obj["metadata"]["name"]) for entry in entries)
        return found

    def deletion_marked(self, kind: ResourceType, obj: Object) -> None:
        """A namespace that waits is Terminating."""
        if kind.storage == NAMESPACES:
            obj["status"] = {"phase": "Terminating"}

    def deletion_began(self, kind: ResourceType, obj: Object, write: Write) -> None:
        """Empty a namespace or a CRD; what has finalizers stays until they are gone."""
        name = obj["metadata"]["name"]
        if kind.storage == NAMESPACES:
            for found, child in self._contents(name):
                self._delete(found, name, child)
        elif kind.storage == CRDS:
            instance = self.registry.by_resource(*_instances(obj))
            for entry in self.store.collection(_instances(obj)).select("") if instance else ():
                assert instance is not None
                self._delete(instance, entry.obj["metadata"].get("namespace", ""), entry.obj["metadata"]["name"])

    def _delete(self, kind: ResourceType, namespace: str, name: str) -> None:
        try:
            self.verbs.delete(kind, namespace, name, {"propagationPolicy": "Background"}, Write(SYSTEM))
        except StatusError as error:
            if error.code != 404:
                raise

    def on_change(self, change: StoredChange) -> None:
        """After each commit: CRDs change what is served; the last object lets its namespace or CRD go."""
        if change.resource == CRDS:
            self.custom.on_definition_change(change)
        if change.resource == NAMESPACES and change.event == "ADDED":
            self._make_default_account(change.key[1])
        if change.event != "DELETED":
            return
        namespace = change.key[0]
        namespaces = self.registry.get("", "v1", "namespaces")
        if namespace and namespaces:
            self.verbs.finish_if_empty(namespaces, "", namespace, SYSTEM.client)
        if "." in change.resource[0]:
            definitions = self.registry.by_resource(*CRDS)
            if definitions:
                self.verbs.finish_if_empty(definitions, "", ".".join(reversed(change.resource)), SYSTEM.client)


def _instances(definition: Object) -> tuple[str, str]:
    spec = definition["spec"]
    return (spec["group"], spec["names"]["plural"])
