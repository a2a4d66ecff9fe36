"""The subresources that do something: scale, eviction, token and binding. What is not here is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hack.localcluster.apiserver.auth import Authenticator
from hack.localcluster.apiserver.builtin_columns import selector_text
from hack.localcluster.apiserver.errors import Cause, StatusError, bad_request, invalid
from hack.localcluster.apiserver.metadata import time_text
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.registry import BUILTIN_SCALE, ResourceType, ScalePaths
from hack.localcluster.apiserver.selectors import matches_label_selector
from hack.localcluster.apiserver.store import Entry
from hack.localcluster.apiserver.verbs import Verbs

_MIN_TOKEN_S, _DEFAULT_TOKEN_S = 600, 3600


class Subresources:
    """Answers by (resource, subresource)."""

    def __init__(self, verbs: Verbs, authenticator: Authenticator) -> None:
        self._verbs = verbs
        self._authenticator = authenticator

    def scale(self, kind: ResourceType, namespace: str, name: str) -> Object:
        """`autoscaling/v1` Scale of an object."""
        obj = self._verbs.entry(kind, namespace, name).obj
        paths = kind.scale or BUILTIN_SCALE
        if kind.custom and _value_at(obj, paths.spec_replicas) is None:
            where = f'the spec replicas field "{paths.spec_replicas}" does not exist'
            raise StatusError(500, f"Internal error occurred: {where}")
        return _scale_of(obj, paths)

    def change_scale(
        self, kind: ResourceType, namespace: str, name: str, change: Callable[[Object], Any], write: Write
    ) -> Object:
        """Set the number of replicas through a Scale."""
        paths = kind.scale or BUILTIN_SCALE

        def replicas(obj: Object) -> Object:
            scale = change(_scale_of(obj, paths))
            wanted = (scale.get("spec") or {}).get("replicas", 0)
            if not isinstance(wanted, int) or wanted < 0:
                cause = Cause("spec.replicas", f"Invalid value: {wanted}: must be greater than or equal to 0")
                raise invalid(kind, name, [cause])
            sent = (scale.get("metadata") or {}).get("resourceVersion") or obj["metadata"]["resourceVersion"]
            return _with_value(obj, paths.spec_replicas, wanted) | {
                "metadata": obj["metadata"] | {"resourceVersion": sent}
            }

        return _scale_of(self._verbs.modify(kind, namespace, name, replicas, write, subresource="scale").obj, paths)

    def create(
        self, kind: ResourceType, namespace: str, name: str, subresource: str, body: Any, write: Write
    ) -> Object | None:
        """POST to a subresource; None when localcluster does not have it."""
        if not isinstance(body, dict):
            raise bad_request(f"the body of {kind.plural}/{subresource} must be an object")
        match kind.plural, subresource:
            case "serviceaccounts", "token":
                return self._token(kind, namespace, name, body)
            case "pods", "eviction":
                return self._evict(kind, namespace, name, body, write)
            case "pods", "binding":
                return self._bind(kind, namespace, name, body, write)
        return None

    def _token(self, kind: ResourceType, namespace: str, name: str, body: Object) -> Object:
        account = self._verbs.entry(kind, namespace, name).obj
        spec = dict(body.get("spec") or {})
        seconds = spec.setdefault("expirationSeconds", _DEFAULT_TOKEN_S)
        if not isinstance(seconds, int) or seconds < _MIN_TOKEN_S:
            text = "Invalid value: may not specify a duration less than 10 minutes"
            raise invalid(kind, name, [Cause("spec.expirationSeconds", text)])
        token, expires = self._authenticator.issue_service_account_token(account, spec.get("audiences") or [], seconds)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": time_text(expires)},
        }

    def _bind(self, kind: ResourceType, namespace: str, name: str, body: Object, write: Write) -> Object:
        node = (body.get("target") or {}).get("name", "")

        def assign(pod: Object) -> Object:
            if pod["spec"].get("nodeName"):
                text = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
                raise StatusError(409, f'Operation cannot be fulfilled on pods/binding "{name}": {text}')
            return pod | {"spec": pod["spec"] | {"nodeName": node}}

        self._verbs.modify(kind, namespace, name, assign, write)
        return _success(201)

    def _evict(self, kind: ResourceType, namespace: str, name: str, body: Object, write: Write) -> Object:
        pod = self._verbs.entry(kind, namespace, name)
        options = body.get("deleteOptions") or {}
        write.dry_run = write.dry_run or options.get("dryRun") == ["All"]
        phase = (pod.obj.get("status") or {}).get("phase")
        if phase not in ("Succeeded", "Failed", "Pending") and "deletionTimestamp" not in pod.obj["metadata"]:
            self._spend_budget(namespace, pod, write)
        self._verbs.delete(kind, namespace, name, options, write)
        return _success(201)

    def _spend_budget(self, namespace: str, pod: Entry, write: Write) -> None:
        """Ask the one PodDisruptionBudget that covers a pod, and count the disruption."""
        budgets = self._verbs.registry.get("policy", "v1", "poddisruptionbudgets")
        assert budgets is not None, "PodDisruptionBudgets are built in"
        labels = pod.obj["metadata"].get("labels") or {}
        covering = [
            entry.obj
            for entry in self._verbs.store.collection(budgets.storage).select(namespace)
            if matches_label_selector(entry.obj["spec"].get("selector"), labels)
        ]
        if len(covering) > 1:
            raise StatusError(
                500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            )
        for budget in covering:
            name, status = budget["metadata"]["name"], budget.get("status") or {}
            allowed = status.get("disruptionsAllowed") or 0
            if (status.get("observedGeneration") or 0) < budget["metadata"].get("generation", 0) or allowed <= 0:
                healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
                text = f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
                details = {"causes": [{"reason": "DisruptionBudget", "message": text}]}
                message = "Cannot evict pod as it would violate the pod's disruption budget."
                raise StatusError(429, message, details=details, retry_after_s=10)
            spent = {"disruptionsAllowed": allowed - 1}
            change = lambda obj, spent=spent: obj | {"status": (obj.get("status") or {}) | spent}  # noqa: E731
            self._verbs.modify(budgets, namespace, name, change, write, subresource="status")


def _value_at(obj: Object, path: str) -> Any:
    found: Any = obj
    for part in path.strip(".").split(".") if path else ():
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _with_value(obj: Object, path: str, value: Any) -> Object:
    head, _, rest = path.lstrip(".").partition(".")
    return obj | {head: _with_value(obj.get(head) or {}, rest, value) if rest else value}


def _scale_of(obj: Object, paths: ScalePaths) -> Object:
    metadata = obj["metadata"]
    kept = {
        field: metadata[field]
        for field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if field in metadata
    }
    selector = _value_at(obj, paths.selector) if paths.selector else None
    text = selector if isinstance(selector, str) else selector_text(selector) if selector else ""
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": _value_at(obj, paths.spec_replicas) or 0},
        "status": {
            "replicas": _value_at(obj, paths.status_replicas) or 0,
            **({"selector": text} if text else {}),
        },
    }


def _success(code: int) -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}
