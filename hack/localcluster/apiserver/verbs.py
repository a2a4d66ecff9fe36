"""What the verbs mean: the pipeline from a decoded request to a committed state, the same for every type.

    create   check body → default → identity → validate → admit → commit
    modify   read → change (PUT or any patch) → preconditions → keep what the sender may not write → default → validate → admit → commit
    delete   preconditions → finalizers and grace → mark or remove

Everything here runs in one go on the event loop, so a request is one atomic step. What is special about single types (rules, defaults,
cluster IPs, namespaces, CRDs) is in `behaviour.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from hack.localcluster.apiserver import metadata as meta
from hack.localcluster.apiserver.errors import (
    Cause,
    StatusError,
    UndecodableError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    not_found,
)
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.store import Entry, Key, Store

_CONDITIONAL_ONLY = frozenset({"leases", "poddisruptionbudgets", "customresourcedefinitions"})
_KEEPS_STATUS_ON_CREATE = frozenset({"nodes"})


class Behaviour(Protocol):
    """What depends on the type (see `behaviour.py`, which has the meanings). `old` is None for a create."""

    def prepare(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None: ...
    def check_decodable(self, kind: ResourceType, obj: Object) -> None: ...
    def admit(
        self,
        kind: ResourceType,
        old: Object | None,
        new: Object | None,
        write: Write,
        operation: str,
        subresource: str = "",
    ) -> None: ...
    def track(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None: ...
    def merge(
        self, kind: ResourceType, live: Object | None, intent: Object, write: Write, *, force: bool, subresource: str
    ) -> Object: ...
    def grace_s(self, kind: ResourceType, obj: Object, options: Object) -> int: ...
    def removal_blocked(self, kind: ResourceType, obj: Object) -> bool: ...
    def deletion_marked(self, kind: ResourceType, obj: Object) -> None: ...
    def deletion_began(self, kind: ResourceType, obj: Object, write: Write) -> None: ...


class Verbs:
    """The verbs over a store."""

    def __init__(self, store: Store, registry: Registry, behaviour: Behaviour) -> None:
        self.store = store
        self.registry = registry
        self.behaviour = behaviour

    @staticmethod
    def key(kind: ResourceType, namespace: str, name: str) -> Key:
        """Where an object is kept."""
        return (namespace if kind.namespaced else "", name)

    def entry(self, kind: ResourceType, namespace: str, name: str) -> Entry:
        """A stored object, 404 if there is none."""
        found = self.store.get(kind.storage, self.key(kind, namespace, name))
        if found is None:
            raise not_found(kind, name)
        return found

    def create(self, kind: ResourceType, namespace: str, body: Any, write: Write, *, tracks: bool = True) -> Entry:
        """Make an object. Without `tracks`, the body brings its `managedFields`."""
        obj = meta.check_body(kind, body, namespace, "")
        if kind.namespaced:
            self._check_namespace(kind, obj)
        if tracks:
            obj["metadata"].pop("managedFields", None)
        if "status" in kind.subresources and kind.plural not in _KEEPS_STATUS_ON_CREATE:
            obj.pop("status", None)
        meta.prepare_create(kind, obj)
        name = obj["metadata"]["name"]
        key = self.key(kind, namespace, name)
        if self.store.get(kind.storage, key) is not None:
            raise already_exists(kind, name)
        self.behaviour.prepare(kind, None, obj, write, "")
        self.behaviour.admit(kind, None, obj, write, "CREATE")
        if tracks:
            self.behaviour.track(kind, None, obj, write, "")
        if write.dry_run:
            return Entry(kind.stored_form(obj), 0)
        return self.store.put(kind.storage, key, kind.stored_form(obj), write.caller.client)

    def _check_namespace(self, kind: ResourceType, obj: Object) -> None:
        namespace = obj["metadata"]["namespace"]
        found = self.store.get(("", "namespaces"), ("", namespace))
        if found is None:
            namespaces = self.registry.get("", "v1", "namespaces")
            assert namespaces is not None, "namespaces are built in"
            raise not_found(namespaces, namespace)
        if found.obj["metadata"].get("deletionTimestamp"):
            text = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("metadata.namespace", f"namespace {namespace} is being terminated", "NamespaceTerminating")
            raise forbidden(kind, str(obj["metadata"].get("name", "")), text, [cause])

    def modify(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        change: Callable[[Object], Any],
        write: Write,
        *,
        subresource: str = "",
        is_put: bool = False,
        tracks: bool = True,
    ) -> Entry:
        """Change an object: `change` gets a private copy in the asked version and gives the wanted one."""
        try:
            return self._modify(kind, namespace, name, change, write, subresource, is_put=is_put, tracks=tracks)
        except UndecodableError as error:
            if is_put or not tracks:  # a PUT and an apply are bodies that somebody has written
                raise
            raise error.as_patched() from error

    def _modify(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        change: Callable[[Object], Any],
        write: Write,
        subresource: str,
        *,
        is_put: bool,
        tracks: bool,
    ) -> Entry:
        current = self.entry(kind, namespace, name)
        old = kind.served_form(current.obj)
        new = meta.check_body(kind, change(kind.served_form(current.copy())), namespace, name)
        if is_put and subresource:
            self.behaviour.check_decodable(kind, new)
        if is_put and not new["metadata"].get("resourceVersion"):
            self._allow_unconditional(kind, name)
        meta.prepare_update(kind, old, new, name, is_put=is_put, subresource=subresource)
        new = _keep_other_part(kind, old, new, subresource)
        self.behaviour.prepare(kind, old, new, write, subresource)
        meta.check_metadata(kind, new)
        if subresource != "status":
            meta.bump_generation(kind, old, new)
        if tracks and new != old:
            self.behaviour.track(kind, old, new, write, subresource)
        if new == old and kind.stored_form(new).get("apiVersion") == current.obj.get("apiVersion"):
            return current  # what is kept in a former storage version is written anew, as by the real server
        self.behaviour.admit(kind, old, new, write, "UPDATE", subresource)
        stored = kind.stored_form(new)
        if write.dry_run:
            return Entry(stored, current.rv)
        key = self.key(kind, namespace, name)
        if self._finished(kind, new):
            self.store.remove(kind.storage, key, write.caller.client)
            return Entry(stored, current.rv)
        return self.store.put(kind.storage, key, stored, write.caller.client)

    def apply(
        self,
        kind: ResourceType,
        namespace: str,
        name: str,
        body: Any,
        write: Write,
        *,
        force: bool,
        subresource: str = "",
    ) -> Entry:
        """Server-side apply: make the object, or merge the intent into it."""
        meta.check_known(body)
        intent = meta.check_body(kind, meta.with_name(body, name), namespace, name)
        if intent["metadata"].pop("managedFields", None) is not None:
            raise bad_request("metadata.managedFields must be nil")

        def merged(live: Object | None) -> Object:
            return self.behaviour.merge(kind, live, intent, write, force=force, subresource=subresource)

        if self.store.get(kind.storage, self.key(kind, namespace, name)) is None:
            if subresource:
                raise not_found(kind, name)
            return self.create(kind, namespace, merged(None), write, tracks=False)
        return self.modify(kind, namespace, name, merged, write, subresource=subresource, tracks=False)

    def _allow_unconditional(self, kind: ResourceType, name: str) -> None:
        if kind.custom or kind.plural in _CONDITIONAL_ONLY:
            text = "Invalid value: 0: must be specified for an update"
            raise invalid(kind, name, [Cause("metadata.resourceVersion", text)])

    def _finished(self, kind: ResourceType, obj: Object) -> bool:
        metadata = obj["metadata"]
        if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
            return False
        return not metadata.get("deletionGracePeriodSeconds") and not self.behaviour.removal_blocked(kind, obj)

    def delete(
        self, kind: ResourceType, namespace: str, name: str, options: Object, write: Write
    ) -> tuple[Entry, bool]:
        """Delete an object, or begin to; True when it is gone."""
        check_delete_options(options)
        current = self.entry(kind, namespace, name)
        _check_preconditions(kind, current.obj, options.get("preconditions") or {})
        self.behaviour.admit(kind, current.obj, None, write, "DELETE")
        new = current.copy()
        metadata = new["metadata"]
        _apply_propagation(metadata, options)
        grace_s = self.behaviour.grace_s(kind, new, options)
        waits = bool(grace_s or metadata.get("finalizers") or self.behaviour.removal_blocked(kind, new))
        if not waits:
            if write.dry_run:
                return current, True
            return self.store.remove(kind.storage, self.key(kind, namespace, name), write.caller.client), True
        if "deletionTimestamp" not in metadata or grace_s < (metadata.get("deletionGracePeriodSeconds") or 0):
            began = "deletionTimestamp" not in metadata
            generation = metadata.get("generation")
            meta.mark_deleted(metadata, grace_s)
            if not began and generation:
                metadata["generation"] = generation
            self.behaviour.deletion_marked(kind, new)
        if new == current.obj or write.dry_run:
            return Entry(new, current.rv), False
        entry = self.store.put(kind.storage, self.key(kind, namespace, name), new, write.caller.client)
        self.behaviour.deletion_began(kind, new, write)
        return entry, self.store.get(kind.storage, self.key(kind, namespace, name)) is None

    def finish_if_empty(self, kind: ResourceType, namespace: str, name: str, client: str) -> None:
        """Remove an object whose last obstacle may just have gone."""
        key = self.key(kind, namespace, name)
        current = self.store.get(kind.storage, key)
        if current is not None and self._finished(kind, current.obj):
            self.store.remove(kind.storage, key, client)


def _keep_other_part(kind: ResourceType, old: Object, new: Object, subresource: str) -> Object:
    """Status writes change the status only, other writes everything else (where the type has a status subresource)."""
    if subresource == "status":
        kept = dict(old)
        kept["metadata"] = dict(old["metadata"])
        if "managedFields" in new["metadata"]:
            kept["metadata"]["managedFields"] = new["metadata"]["managedFields"]
        kept.pop("status", None)
        return kept | ({"status": new["status"]} if "status" in new else {})
    if "status" in kind.subresources:
        new.pop("status", None)
        if "status" in old:
            new["status"] = old["status"]
    return new


def _check_preconditions(kind: ResourceType, obj: Object, preconditions: Object) -> None:
    metadata = obj["metadata"]
    uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
    if uid and uid != metadata["uid"]:
        text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {metadata['uid']}"
        raise conflict(kind, metadata["name"], text)
    if version and version != metadata["resourceVersion"]:
        text = (
            f"Precondition failed: ResourceVersion in precondition: {version}, "
            f"ResourceVersion in object meta: {metadata['resourceVersion']}"
        )
        raise conflict(kind, metadata["name"], text)


def check_delete_options(options: Object) -> None:
    """422 for options that contradict each other or mean nothing."""
    policy, wrong = options.get("propagationPolicy"), ""
    if policy is not None and options.get("orphanDependents") is not None:
        wrong = f'Invalid value: "{policy}": orphanDependents and deletionPropagation cannot be both set'
    elif policy not in (None, "Background", "Foreground", "Orphan"):
        wrong = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
    if wrong:
        raise StatusError(422, f'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: {wrong}')


def _apply_propagation(metadata: Object, options: Object) -> None:
    policy = options.get("propagationPolicy")
    if options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        return
    wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
    finalizers = [name for name in metadata.get("finalizers") or [] if name not in ("foregroundDeletion", "orphan")]
    if wanted:
        finalizers.append(wanted)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
