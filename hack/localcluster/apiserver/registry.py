"""The resource types that are served, built-in or defined by a CRD, and where each keeps its objects.

A `ResourceType` is one version of one resource. Versions of the same resource share a storage (`group`, `plural`); `to_storage` and
`from_storage` convert when they differ by more than `apiVersion`. Built-in types live in `builtins.py`, CRDs come and go at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.schema import Schema

StorageKey = tuple[str, str]
Convert = Callable[[Object], Object]
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class CustomSchema(Protocol):
    """What a version of a CRD does to its objects (`customtypes.py`)."""

    version: Object
    root: Schema

    def prepare(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
        """Prune, default and validate in place."""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the numbers of a Scale are in an object, such as `.spec.replicas`. `selector` may be absent ("")."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


BUILTIN_SCALE = ScalePaths(".spec.replicas", ".status.replicas", ".spec.selector")


@dataclass(slots=True, eq=False)
class ResourceType:
    """One served version of one resource."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    verbs: tuple[str, ...] = ALL_VERBS
    storage: StorageKey = ("", "")
    storage_version: str = ""
    mixed: bool = False
    """Objects may be kept in other versions than `storage_version`, from when that was another one."""
    to_storage: Convert | None = None
    from_storage: Convert | None = None
    counts_generation: bool = False
    custom: CustomSchema | None = None
    schema: Object = field(default_factory=dict)
    field_labels: tuple[str, ...] = ()
    scale: ScalePaths | None = None
    key: tuple[str, str, str] = field(init=False)
    api_version: str = field(init=False)
    qualified: str = field(init=False)

    def __post_init__(self) -> None:
        """Fill in what follows from the rest."""
        self.key = (self.group, self.version, self.plural)
        self.api_version = f"{self.group}/{self.version}" if self.group else self.version
        self.qualified = f"{self.plural}.{self.group}" if self.group else self.plural
        self.singular = self.singular or self.kind.lower()
        self.storage = self.storage if self.storage[1] else (self.group, self.plural)
        self.storage_version = self.storage_version or self.version

    @property
    def converts(self) -> bool:
        """Whether objects must be rewritten between storage and this version."""
        return self.to_storage is not None or self.storage_version != self.version

    @property
    def rewrites(self) -> bool:
        """Whether a kept object may not be served as it is."""
        return self.converts or self.mixed

    def stored_form(self, obj: Object) -> Object:
        """An object of this version as it is kept."""
        if self.to_storage:
            return self.to_storage(obj)
        if self.storage_version != self.version:
            return obj | {"apiVersion": f"{self.storage[0]}/{self.storage_version}"}
        return obj

    def served_form(self, obj: Object) -> Object:
        """A kept object in this version."""
        if self.from_storage:
            return self.from_storage(obj)
        if self.storage_version != self.version or self.mixed:
            return obj | {"apiVersion": self.api_version}
        return obj


class Registry:
    """Types by (group, version, plural), in order of registration."""

    def __init__(self, types: Iterable[ResourceType]) -> None:
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        self.generation = 0
        for kind in types:
            self.add(kind)

    def add(self, kind: ResourceType) -> None:
        """Serve a type, in place of an older one of the same key."""
        self._types[kind.key] = kind
        self.generation += 1

    def remove(self, kind: ResourceType) -> None:
        """Stop serving a type."""
        self._types.pop(kind.key, None)
        self.generation += 1

    def get(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The type at a URL."""
        return self._types.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> ResourceType | None:
        """The type of an object."""
        return next((found for found in self if found.api_version == api_version and found.kind == kind), None)

    def by_resource(self, group: str, plural: str) -> ResourceType | None:
        """Any version of a resource, preferably the one in which it is stored."""
        found = [kind for kind in self if (kind.group, kind.plural) == (group, plural)]
        return next((kind for kind in found if not kind.converts), found[0] if found else None)

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(list(self._types.values()))

    def groups(self) -> dict[str, list[str]]:
        """The versions of each named group, the preferred one first."""
        found: dict[str, list[str]] = {}
        for kind in self:
            if kind.group:
                versions = found.setdefault(kind.group, [])
                if kind.version not in versions:
                    versions.append(kind.version)
        return {group: sorted(versions, key=version_order, reverse=True) for group, versions in found.items()}


def version_order(version: str) -> tuple[int, int, int]:
    """Kubernetes' preference among versions: v2 > v1 > v1beta2 > v1beta1 > v1alpha5."""
    head, _, rest = version.removeprefix("v").partition("beta")
    if rest:
        return (1, int(head or 0), int(rest))
    head, _, rest = version.removeprefix("v").partition("alpha")
    if rest:
        return (0, int(head or 0), int(rest))
    return (2, int(head), 0) if head.isdigit() else (-1, 0, 0)
