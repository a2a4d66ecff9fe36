"""From an HTTP method and path to a Route: which verb on which resource, with the query decoded. Knows URLs, not types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_NAMESPACE_SUBRESOURCES = ("status", "finalize")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True)
class Route:
    """A request for a resource. `tail` is what follows a proxy subresource."""

    verb: str
    group: str
    version: str
    resource: str
    namespace: str
    name: str
    subresource: str
    tail: str
    query: Mapping[str, str]

    def flag(self, name: str) -> bool:
        """A boolean query parameter."""
        return self.query.get(name, "").lower() in ("1", "true", "t")


def parse_route(method: str, path: str, query: Mapping[str, str]) -> Route | None:
    """The resource request in a URL; None when it is none (discovery, health, unknown)."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    watch_path = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if watch_path else rest
    if rest[0] == "namespaces" and len(rest) >= 3 and not (len(rest) == 3 and rest[2] in _NAMESPACE_SUBRESOURCES):
        namespace, rest = rest[1], rest[2:]
    elif rest[0] == "namespaces" and len(rest) >= 2:
        namespace = rest[1]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    tail = "/".join(rest[3:])
    if tail and subresource != "proxy":
        return None
    verb = _verb(method, bool(name), watch_path or query.get("watch", "").lower() in ("1", "true"))
    return Route(verb, group, version, rest[0], namespace, name, subresource, tail, query)


def _verb(method: str, named: bool, watching: bool) -> str:
    if method in ("GET", "HEAD"):
        if watching:
            return "watch"
        return "get" if named else "list"
    if method == "DELETE":
        return "delete" if named else "deletecollection"
    return _VERBS.get(method, method.lower())
