"""CustomResourceDefinitions: which types they add to what is served, and what is checked on their objects."""

from __future__ import annotations

from typing import Any

from hack.localcluster.apiserver.metadata import now_text
from hack.localcluster.apiserver.registry import Object, Registry, ResourceType
from hack.localcluster.apiserver.store import Change, Store
from hack.localcluster.apiserver.verbs import Write


class CustomBehaviour:
    """What one version of a CRD does to its objects."""

    def __init__(self, version: Object) -> None:
        self.version = version

    def prepare(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
        """Prune, default, validate."""


class CustomTypes:
    """Keeps the registry in step with the CRD objects."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self.registry = registry
        self.store = store

    def prepare_definition(self, old: Object | None, new: Object) -> None:
        """Accept a CRD: fill in names and the conditions that the real server's controllers would set."""
        names = new["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
        new["spec"].setdefault("conversion", {"strategy": "None"})
        stored = [version["name"] for version in new["spec"]["versions"] if version.get("storage")]
        status = new.setdefault("status", {})
        status["acceptedNames"] = names
        status["storedVersions"] = sorted({*(status.get("storedVersions") or []), *stored})
        if not status.get("conditions"):
            status["conditions"] = [
                _condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                _condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ]

    def on_definition_change(self, change: Change) -> None:
        """Serve what the CRDs say now."""
        if change.previous is not None:
            for kind in self._types(change.previous.obj):
                self.registry.remove(kind)
        if change.event != "DELETED":
            for kind in self._types(change.entry.obj):
                self.registry.add(kind)

    def load(self) -> None:
        """Serve every CRD in the store (after a restore)."""
        for kind in self.registry:
            if kind.custom:
                self.registry.remove(kind)
        for entry in self.store.collection(("apiextensions.k8s.io", "customresourcedefinitions")).select(""):
            for kind in self._types(entry.obj):
                self.registry.add(kind)

    def _types(self, definition: Object) -> list[ResourceType]:
        spec = definition["spec"]
        storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
        return [_type(spec, version, storage) for version in spec["versions"] if version.get("served")]


def _type(spec: Object, version: Object, storage_version: str) -> ResourceType:
    names = spec["names"]
    return ResourceType(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=frozenset(version.get("subresources") or {}),
        storage_version=storage_version,
        custom=CustomBehaviour(version),
        field_labels=tuple(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()),
    )


def _condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    moment = now_text()
    return {"type": kind, "status": "True", "lastTransitionTime": moment, "reason": reason, "message": message}
