"""Permissions as atoms, from both sides: what the shipped roles grant and what an audit log shows to have been used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hack.demo.installation import NAMESPACE, OPERATORS
from test.install import shipped

USERS = {f"system:serviceaccount:{NAMESPACE}:{name}": name for name in OPERATORS}


@dataclass(frozen=True, order=True, slots=True)
class Permission:
    """One verb on one kind of resource, by one of the operators: `kaito-controller: patch kaito.sh/workspaces/status`."""

    operator: str
    verb: str
    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.operator}: {self.verb} {self.group or 'core'}/{self.resource}"


def granted(base: str = "default") -> set[Permission]:
    """Everything that the shipped roles grant to the two ServiceAccounts."""
    documents = shipped.base(base)
    roles = {
        (kind, d["metadata"]["name"]): d for kind in ("Role", "ClusterRole") for d in shipped.of_kind(documents, kind)
    }
    found: set[Permission] = set()
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        for binding in shipped.of_kind(documents, kind):
            role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
            for subject in binding["subjects"]:
                found |= {p for rule in role["rules"] for p in _atoms(subject["name"], rule)}
    return found


def _atoms(operator: str, rule: dict[str, Any]) -> Iterable[Permission]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                yield Permission(operator, verb, group, resource)


@dataclass(frozen=True, slots=True)
class Request:
    """One audited request of an operator."""

    permission: Permission
    code: int
    path: str


def from_localcluster(audit: Iterable[Any]) -> list[Request]:
    """Of the entries of localcluster's API server, those of the operators."""
    return [
        _request(USERS[e.user], e.verb, e.group, e.resource, e.subresource, e.code, e.path)
        for e in list(audit)
        if e.user in USERS and e.resource
    ]


def from_audit_log(events: Iterable[dict[str, Any]]) -> list[Request]:
    """The same from a real API server's audit log; a watch is logged when it begins and when it ends."""
    found = []
    for event in events:
        reference, user = event.get("objectRef"), event["user"]["username"]
        if user in USERS and reference:
            names = [reference.get(key, "") for key in ("apiGroup", "resource", "subresource")]
            code = event.get("responseStatus", {}).get("code", 0)
            found.append(_request(USERS[user], event["verb"], *names, code, event["requestURI"]))
    return found


def _request(operator: str, verb: str, group: str, resource: str, sub: str, code: int, path: str) -> Request:
    return Request(Permission(operator, verb, group, f"{resource}/{sub}" if sub else resource), code, path)
