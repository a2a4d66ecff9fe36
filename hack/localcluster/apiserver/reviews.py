"""The resources that are questions: TokenReview and the access reviews. Nothing of them is stored."""

from __future__ import annotations

from typing import Any

from hack.localcluster.apiserver.auth import Authenticator
from hack.localcluster.apiserver.objects import Caller, Object
from hack.localcluster.apiserver.rbac import Attributes, Rbac
from hack.localcluster.apiserver.registry import ResourceType


class Reviews:
    """Answers a review with itself and a status."""

    def __init__(self, authenticator: Authenticator, rbac: Rbac) -> None:
        self._authenticator = authenticator
        self._rbac = rbac

    def answer(self, kind: ResourceType, body: Object, caller: Caller, namespace: str) -> Object:
        """The review with its `status`."""
        spec = body.get("spec") or {}
        match kind.kind:
            case "TokenReview":
                status = self._token(spec)
            case "SelfSubjectReview":
                status = {"userInfo": _user_info(caller.user, caller.uid, caller.groups)}
            case "SelfSubjectRulesReview":
                status = self._rules(caller, spec.get("namespace", ""))
            case "SelfSubjectAccessReview":
                status = self._access(caller, spec)
            case _:
                groups = tuple(spec.get("groups") or ())
                status = self._access(Caller(spec.get("user", ""), groups), spec, namespace)
        metadata = body.get("metadata") or {}
        return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata, "spec": spec, "status": status}

    def _token(self, spec: Object) -> Object:
        identity = self._authenticator.identify(str(spec.get("token", "")))
        if identity is None:
            return {"user": {}, "error": "[invalid bearer token]"}
        found: Object = {"authenticated": True, "user": _user_info(identity.user, identity.uid, identity.groups)}
        return found | ({"audiences": spec["audiences"]} if spec.get("audiences") else {})

    def _access(self, caller: Caller, spec: Object, namespace: str = "") -> Object:
        return {"allowed": self._rbac.allows(caller, attributes_of(spec, namespace))}

    def _rules(self, caller: Caller, namespace: str) -> Object:
        resource_rules: list[Object] = []
        path_rules: list[Object] = []
        everything: list[Any] = [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ]
        allowed = not self._rbac.enforced or "system:masters" in caller.groups
        for rule in everything if allowed else self._rbac.rules(caller, namespace):
            (path_rules if rule.get("nonResourceURLs") else resource_rules).append(rule)
        return {"resourceRules": resource_rules, "nonResourceRules": path_rules, "incomplete": False}


def attributes_of(spec: Object, namespace: str = "") -> Attributes:
    """The question in a review's spec."""
    path = spec.get("nonResourceAttributes")
    if path:
        return Attributes(verb=path.get("verb", ""), path=path.get("path", ""))
    asked = spec.get("resourceAttributes") or {}
    return Attributes(
        verb=asked.get("verb", ""),
        group=asked.get("group", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", "") or namespace,
        name=asked.get("name", ""),
    )


def _user_info(user: str, uid: str, groups: tuple[str, ...]) -> Object:
    return {"username": user, "groups": list(groups)} | ({"uid": uid} if uid else {})
