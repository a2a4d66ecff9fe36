"""May they: RBAC from the Role, ClusterRole and binding objects in the store, aggregation included.

Not enforced: the escalation checks (`escalate`, `bind`) on writes of roles and bindings themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hack.localcluster.apiserver.objects import Caller, Object
from hack.localcluster.apiserver.selectors import matches_label_selector
from hack.localcluster.apiserver.store import Store

GROUP = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to do; a `path` makes it a non-resource request."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        """`pods` or `pods/status`, as rules spell it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource

    def denial(self, user: str) -> str:
        """The words of a 403."""
        if self.path:
            return f'User "{user}" cannot {self.verb} path "{self.path}"'
        where = f'in the namespace "{self.namespace}"' if self.namespace else "at the cluster scope"
        return f'User "{user}" cannot {self.verb} resource "{self.target}" in API group "{self.group}" {where}'


class Rbac:
    """Decides by the objects in the store. With `enforced` False everybody may do everything."""

    def __init__(self, store: Store, *, enforced: bool) -> None:
        self._store = store
        self.enforced = enforced

    def allows(self, caller: Caller, wanted: Attributes) -> bool:
        """Whether a caller may do it."""
        if not self.enforced or "system:masters" in caller.groups:
            return True
        return any(rule_allows(rule, wanted) for rule in self.rules(caller, wanted.namespace))

    def rules(self, caller: Caller, namespace: str) -> Iterator[Object]:
        """All rules that apply to a caller, cluster-wide and in one namespace."""
        for entry in self._store.collection((GROUP, "clusterrolebindings")).entries.values():
            if _binds(entry.obj, caller, ""):
                yield from self._referenced(entry.obj["roleRef"], "")
        if namespace:
            for entry in self._store.collection((GROUP, "rolebindings")).select(namespace):
                if _binds(entry.obj, caller, namespace):
                    yield from self._referenced(entry.obj["roleRef"], namespace)

    def _referenced(self, reference: Object, namespace: str) -> list[Object]:
        name = reference.get("name", "")
        if reference.get("kind") == "Role":
            found = self._store.get((GROUP, "roles"), (namespace, name))
            return (found.obj.get("rules") or []) if found else []
        found = self._store.get((GROUP, "clusterroles"), ("", name))
        return self._rules_of(found.obj, {name}) if found else []

    def _rules_of(self, role: Object, seen: set[str]) -> list[Object]:
        selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []
        rules = list(role.get("rules") or [])
        for entry in self._store.collection((GROUP, "clusterroles")).entries.values() if selectors else ():
            metadata = entry.obj["metadata"]
            if metadata["name"] in seen:
                continue
            if any(matches_label_selector(selector, metadata.get("labels") or {}) for selector in selectors):
                rules += self._rules_of(entry.obj, seen | {metadata["name"]})
        return rules


def _binds(binding: Object, caller: Caller, namespace: str) -> bool:
    return any(_is_subject(subject, caller, namespace) for subject in binding.get("subjects") or [])


def _is_subject(subject: Object, caller: Caller, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name")
    if kind == "User":
        return bool(name == caller.user)
    if kind == "Group":
        return name in caller.groups
    return caller.user == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"


def rule_allows(rule: Object, wanted: Attributes) -> bool:
    """Whether one rule covers a request."""
    if not _covers(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(_path_matches(url, wanted.path) for url in rule.get("nonResourceURLs") or [])
    if not _covers(rule.get("apiGroups"), wanted.group):
        return False
    resources = rule.get("resources") or []
    if not (_covers(resources, wanted.target) or (wanted.subresource and f"*/{wanted.subresource}" in resources)):
        return False
    names = rule.get("resourceNames") or []
    return not names or wanted.name in names


def _covers(values: Any, wanted: str) -> bool:
    return "*" in (values or ()) or wanted in (values or ())


def _path_matches(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_USER_RESOURCES = (
    (
        "",
        [
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "pods",
            "pods/log",
            "pods/status",
            "serviceaccounts",
            "services",
        ],
    ),
    ("apps", ["daemonsets", "deployments", "deployments/scale", "replicasets", "statefulsets", "statefulsets/scale"]),
    ("batch", ["jobs"]),
    ("policy", ["poddisruptionbudgets"]),
)


def default_objects() -> list[Object]:
    """The roles and bindings that every cluster comes with (the part that users and operators rely on)."""
    reviews, tokens = "authorization.k8s.io", "authentication.k8s.io"
    public = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
    discovery = [*public, "/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
    own = [
        {
            "apiGroups": [reviews],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
            "verbs": ["create"],
        },
        {"apiGroups": [tokens], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
    ]
    delegate = [
        {"apiGroups": [tokens], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": [reviews], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    view = [{"apiGroups": [group], "resources": names, "verbs": _READ} for group, names in _USER_RESOURCES]
    edit = [{"apiGroups": [group], "resources": names, "verbs": _WRITE} for group, names in _USER_RESOURCES]
    edit.append(
        {
            "apiGroups": [""],
            "resources": ["secrets", "services/proxy", "pods/exec", "pods/eviction"],
            "verbs": _READ + _WRITE,
        }
    )
    manage = [{"apiGroups": [GROUP], "resources": ["rolebindings", "roles"], "verbs": _READ + _WRITE}]
    return [
        _role("cluster-admin", everything),
        _role("system:discovery", [{"nonResourceURLs": discovery, "verbs": ["get"]}]),
        _role("system:public-info-viewer", [{"nonResourceURLs": public, "verbs": ["get"]}]),
        _role("system:basic-user", own),
        _role("system:auth-delegator", delegate),
        *_aggregated("view", view, ("edit",)),
        *_aggregated("edit", edit, ("admin",)),
        *_aggregated("admin", manage, ()),
        _binding("cluster-admin", "system:masters"),
        _binding("system:discovery", "system:authenticated"),
        _binding("system:basic-user", "system:authenticated"),
        _binding("system:public-info-viewer", "system:authenticated", "system:unauthenticated"),
    ]


def _role(name: str, rules: list[Object], labels: dict[str, str] | None = None) -> Object:
    return {"kind": "ClusterRole", "metadata": {"name": name, "labels": labels or {}}, "rules": rules}


def _aggregated(name: str, rules: list[Object], also: tuple[str, ...]) -> list[Object]:
    prefix = f"{GROUP}/aggregate-to-"
    labels = {f"{prefix}{name}": "true"} | {f"{prefix}{other}": "true" for other in also}
    role = _role(name, [], {f"{prefix}{other}": "true" for other in also})
    role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {f"{prefix}{name}": "true"}}]}
    return [role, _role(f"system:aggregate-to-{name}", rules, labels)]


def _binding(role: str, *groups: str) -> Object:
    subjects = [{"kind": "Group", "name": group, "apiGroup": GROUP} for group in groups]
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    return {"kind": "ClusterRoleBinding", "metadata": {"name": role}, "subjects": subjects, "roleRef": reference}
