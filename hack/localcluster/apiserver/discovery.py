"""What the server says about itself: versions, groups and resources, in the classic (unaggregated) discovery format."""

from __future__ import annotations

import platform

from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.schema import KUBERNETES_VERSION

_SCALE = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
_SUBRESOURCE_KINDS: dict[str, tuple[Object, tuple[str, ...]]] = {
    "status": ({}, ("get", "patch", "update")),
    "scale": (_SCALE, ("get", "patch", "update")),
    "eviction": ({"group": "policy", "version": "v1", "kind": "Eviction"}, ("create",)),
    "token": ({"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}, ("create",)),
    "binding": ({"kind": "Binding"}, ("create",)),
    "log": ({}, ("get",)),
    "proxy": ({"kind": "ServiceProxyOptions"}, ("create", "delete", "get", "patch", "update")),
}


def answer(registry: Registry, path: str, address: str) -> Object | None:
    """The document at a discovery path; None when there is none."""
    match path.strip("/").split("/"):
        case ["version"]:
            return version()
        case ["api"]:
            return core_versions(address)
        case ["apis"]:
            return groups(registry)
        case ["api", name]:
            return resources(registry, "", name)
        case ["apis", name]:
            return group(registry, name)
        case ["apis", name, group_version]:
            return resources(registry, name, group_version)
    return None


def version() -> Object:
    """`/version`."""
    major, minor, _ = KUBERNETES_VERSION.split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{KUBERNETES_VERSION}+localcluster",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def core_versions(address: str) -> Object:
    """`/api`."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def groups(registry: Registry) -> Object:
    """`/apis`."""
    found = [_group(name, versions) for name, versions in registry.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(registry: Registry, name: str) -> Object | None:
    """`/apis/GROUP`."""
    versions = registry.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions) if versions else None


def _group(name: str, versions: list[str]) -> Object:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def resources(registry: Registry, group_name: str, group_version: str) -> Object | None:
    """`/api/v1` and `/apis/GROUP/VERSION`."""
    types = [kind for kind in registry if (kind.group, kind.version) == (group_name, group_version)]
    if not types:
        return None
    entries = [entry for kind in types for entry in (_resource(kind), *_subresources(kind))]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": types[0].api_version, "resources": entries}


def _resource(kind: ResourceType) -> Object:
    entry: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    return entry


def _subresources(kind: ResourceType) -> list[Object]:
    entries = []
    for name in sorted(kind.subresources):
        if name not in _SUBRESOURCE_KINDS:
            continue
        extra, verbs = _SUBRESOURCE_KINDS[name]
        entry = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind}
        entries.append(entry | extra | {"verbs": list(verbs)})
    return entries
