"""ValidatingAdmissionPolicies: which of them a write meets, with which parameters, and what their CEL expressions say."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hack.localcluster.apiserver.cel import lazy_map, program, to_cel
from hack.localcluster.apiserver.cel_values import CelError
from hack.localcluster.apiserver.errors import Cause, StatusError, forbidden
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.ownership import root_schema
from hack.localcluster.apiserver.registry import Registry, ResourceType
from hack.localcluster.apiserver.selectors import matches_label_selector
from hack.localcluster.apiserver.store import Store
from hack.localcluster.apiserver.validation import quoted

_GROUP = "admissionregistration.k8s.io"
POLICIES = (_GROUP, "validatingadmissionpolicies")
_BINDINGS = (_GROUP, "validatingadmissionpolicybindings")
_CODES = {"Invalid": 422, "Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
Bindings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A write that policies are asked about; `old` is None for a create, `new` for a delete."""

    kind: ResourceType
    old: Object | None
    new: Object | None
    operation: str
    subresource: str

    @property
    def obj(self) -> Object:
        """The object as it would be, or as it is when it is to go."""
        return self.new or self.old or {}


class Policies:
    """Judges writes by the policies and bindings in the store."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def admit(self, attempt: Attempt, write: Write) -> None:
        """Collect warnings and refuse, as the bindings say. All bindings are asked, so that a refusal does not swallow what others warn
        of; the first refusal is the one that is told. Policies themselves are never subject to policies."""
        policies = self._store.collection(POLICIES).entries
        if not policies or attempt.kind.group == _GROUP:
            return
        refusals: list[StatusError] = []
        for binding in self._store.collection(_BINDINGS).select(""):
            policy = policies.get(("", binding.obj["spec"]["policyName"]))
            if policy is None or not self._matches(policy.obj["spec"].get("matchConstraints"), attempt):
                continue
            scope = binding.obj["spec"].get("matchResources")
            if scope and not self._matches(scope, attempt):
                continue
            for message, reason in self._failures(policy.obj, binding.obj, attempt, write):
                refusals += _act(attempt, policy.obj, binding.obj, message, reason, write)
        if refusals:
            raise refusals[0]

    def _matches(self, constraints: Object | None, attempt: Attempt) -> bool:
        constraints = constraints or {}
        rules, excluded = constraints.get("resourceRules"), constraints.get("excludeResourceRules") or ()
        if rules and not any(_rule_matches(rule, attempt) for rule in rules):
            return False
        if any(_rule_matches(rule, attempt) for rule in excluded):
            return False
        selector = constraints.get("objectSelector")
        labels = [((obj or {}).get("metadata") or {}).get("labels") or {} for obj in (attempt.new, attempt.old)]
        if selector and not any(matches_label_selector(selector, found) for found in labels):
            return False
        selector = constraints.get("namespaceSelector")
        if selector and attempt.kind.namespaced:
            metadata = self._namespace(attempt.obj).get("metadata") or {}
            return matches_label_selector(selector, metadata.get("labels") or {})
        return True

    def _namespace(self, obj: Object) -> Object:
        name = (obj.get("metadata") or {}).get("namespace", "")
        found = self._store.get(("", "namespaces"), ("", name))
        return found.obj if found else {}

    def _failures(self, policy: Object, binding: Object, attempt: Attempt, write: Write) -> Iterator[tuple[str, str]]:
        spec, schema = policy["spec"], root_schema(attempt.kind)
        bindings: Bindings = {
            "object": to_cel(attempt.new, schema),
            "oldObject": to_cel(attempt.old, schema),
            "request": to_cel(_request(attempt, write)),
            "namespaceObject": to_cel(self._namespace(attempt.obj) or None),
        }
        fails = spec.get("failurePolicy", "Fail") == "Fail"
        params, missing = self._params(spec, binding["spec"], attempt.obj)
        if missing:
            if binding["spec"].get("paramRef", {}).get("parameterNotFoundAction") == "Deny" and fails:
                yield missing, "Invalid"
            return
        for param in params:
            bound = bindings | {"params": to_cel(param)}
            sources = {
                entry["name"]: functools.partial(_evaluate, entry["expression"], bound)
                for entry in spec.get("variables") or ()
            }
            bound["variables"] = lazy_map(sources)
            yield from _judge(spec, bound, fails)

    def _params(self, spec: Object, binding: Object, obj: Object) -> tuple[list[Object | None], str]:
        kind_ref, reference = spec.get("paramKind"), binding.get("paramRef")
        if not kind_ref:
            return [None], ""
        kind = self._registry.by_kind(kind_ref["apiVersion"], kind_ref["kind"])
        if kind is None:
            return (
                [],
                f"failed to find resource referenced by paramKind: '{kind_ref['apiVersion']}, Kind={kind_ref['kind']}'",
            )
        if not reference:
            return [None], ""
        namespace = (
            reference.get("namespace") or (obj.get("metadata") or {}).get("namespace", "") if kind.namespaced else ""
        )
        if reference.get("name"):
            entry = self._store.get(kind.storage, (namespace, reference["name"]))
            found = [entry.obj] if entry else []
        else:
            found = [
                entry.obj
                for entry in self._store.collection(kind.storage).select(namespace)
                if matches_label_selector(reference.get("selector"), entry.obj["metadata"].get("labels") or {})
            ]
        return list(found), "" if found else "no params found for policy binding with `Deny` parameterNotFoundAction"


def _evaluate(expression: str, bindings: Bindings) -> Any:
    return program(expression)(bindings)


def _judge(spec: Object, bindings: Bindings, fails: bool) -> Iterator[tuple[str, str]]:
    try:
        if not all(program(condition["expression"])(bindings) for condition in spec.get("matchConditions") or ()):
            return
    except CelError as error:
        if fails:
            yield f"match condition evaluation error: {error}", "Invalid"
        return
    for validation in spec.get("validations") or ():
        reason = validation.get("reason", "Invalid")
        try:
            if not program(validation["expression"])(bindings):
                yield _message(validation, bindings), reason
        except CelError as error:
            if fails:
                yield f"expression '{validation['expression']}' resulted in error: {error}", reason


def _message(validation: Object, bindings: Bindings) -> str:
    fallback = str(validation.get("message") or f"failed expression: {validation['expression']}").strip()
    if not validation.get("messageExpression"):
        return fallback
    try:
        return str(program(validation["messageExpression"])(bindings)).strip() or fallback
    except CelError:
        return fallback


def _act(
    attempt: Attempt, policy: Object, binding: Object, message: str, reason: str, write: Write
) -> Iterator[StatusError]:
    names = f"'{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
    actions = binding["spec"].get("validationActions") or []
    if "Warn" in actions:
        write.warnings.append(f"Validation failed for ValidatingAdmissionPolicy {names}: {message}")
    if "Deny" in actions:
        text = f"ValidatingAdmissionPolicy {names} denied request: {message}"
        denied = forbidden(attempt.kind, (attempt.obj.get("metadata") or {}).get("name", ""), text)
        causes = [{"message": text}]
        yield StatusError(
            _CODES.get(reason, 422), denied.message, reason=reason, details=denied.details | {"causes": causes}
        )


def _rule_matches(rule: Object, attempt: Attempt) -> bool:
    kind, subresource = attempt.kind, attempt.subresource
    target = f"{kind.plural}/{subresource}" if subresource else kind.plural
    patterns = rule.get("resources") or []
    whole = (
        target in patterns
        or "*/*" in patterns
        or ("*" in patterns and not subresource)
        or f"{kind.plural}/*" in patterns
    )
    names = rule.get("resourceNames") or []
    scope = rule.get("scope", "*")
    return (
        whole
        and bool({attempt.operation, "*"} & set(rule.get("operations") or []))
        and bool({kind.group, "*"} & set(rule.get("apiGroups") or []))
        and bool({kind.version, "*"} & set(rule.get("apiVersions") or []))
        and (not names or (attempt.obj.get("metadata") or {}).get("name") in names)
        and scope in ("*", "Namespaced" if kind.namespaced else "Cluster")
    )


def _request(attempt: Attempt, write: Write) -> Object:
    kind = attempt.kind
    metadata = attempt.obj.get("metadata") or {}
    gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    gvr = {"group": kind.group, "version": kind.version, "resource": kind.plural}
    return {
        "kind": gvk,
        "resource": gvr,
        "requestKind": gvk,
        "requestResource": gvr,
        "subResource": attempt.subresource,
        "name": metadata.get("name", ""),
        "namespace": metadata.get("namespace", ""),
        "operation": attempt.operation,
        "dryRun": write.dry_run,
        "userInfo": {"username": write.caller.user, "groups": list(write.caller.groups), "uid": write.caller.uid},
    }


def policy_causes(policy: Object) -> Iterator[Cause]:
    """The expressions of a policy that do not compile."""
    spec = policy.get("spec") or {}
    for part in ("matchConditions", "variables", "validations"):
        for index, entry in enumerate(spec.get(part) or ()):
            for field in ("expression", "messageExpression"):
                try:
                    program(entry.get(field) or "true")
                except CelError as error:
                    yield Cause(f"spec.{part}[{index}].{field}", f"Invalid value: {quoted(entry[field])}: {error}")
    if spec.get("auditAnnotations"):
        yield Cause(
            "spec.auditAnnotations", "Forbidden: localcluster does not support audit annotations", "FieldValueForbidden"
        )
