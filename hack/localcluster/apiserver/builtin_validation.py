"""Rules that Kubernetes' Go code states about built-in objects and no schema does, for the types that we and our users write.

Not all of them, but those that a controller or a manifest can trip over: selectors that do not match, fields that never change,
containers without a name, ports and keys out of range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from hack.localcluster.apiserver.container_validation import container_rules, pod_rules
from hack.localcluster.apiserver.errors import Cause
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.selectors import matches_label_selector
from hack.localcluster.apiserver.validation import quoted

_CONFIG_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_STATEFUL_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_POD_MUTABLE = ("activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations")
_IMMUTABLE = "Invalid value: {value}: field is immutable"


def type_rules(kind: ResourceType, old: Object | None, new: Object) -> Iterator[Cause]:
    """The causes for one object; `old` is None for a create."""
    found = _RULES.get(kind.storage)
    if found:
        yield from found(old, new)


def _selector_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    selector = spec.get("selector")
    if not selector:
        yield Cause("spec.selector", "Required value", "FieldValueRequired")
    elif not matches_label_selector(selector, labels):
        text = f"Invalid value: {quoted(labels)}: `selector` does not match template `labels`"
        yield Cause("spec.template.metadata.labels", text)
    if old is not None and old["spec"].get("selector") != selector:
        yield Cause("spec.selector", _IMMUTABLE.format(value=quoted(selector)))
    yield from _pod_spec_rules(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy", "Always")
    if policy != "Always":
        text = f'Unsupported value: "{policy}": supported values: "Always"'
        yield Cause("spec.template.spec.restartPolicy", text, "FieldValueNotSupported")
    replicas = spec.get("replicas")
    if isinstance(replicas, int) and replicas < 0:
        yield Cause("spec.replicas", f"Invalid value: {replicas}: must be greater than or equal to 0")


def _stateful_set_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    changed = False
    if old is not None:
        names = (old["spec"].keys() | new["spec"].keys()) - set(_STATEFUL_MUTABLE)
        changed = any(old["spec"].get(name) != new["spec"].get(name) for name in names)
    if changed:
        listed = "', '".join(_STATEFUL_MUTABLE[:-1])
        text = f"Forbidden: updates to statefulset spec for fields other than '{listed}' and 'minReadySeconds' are forbidden"
        yield Cause("spec", text, "FieldValueForbidden")
    else:
        yield from _selector_rules(old, new)


def _job_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new["spec"]
    template = spec.get("template") or {}
    yield from _pod_spec_rules(template.get("spec") or {}, "spec.template.spec")
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        text = 'Required value: valid values: "OnFailure", "Never"'
        yield Cause("spec.template.spec.restartPolicy", text, "FieldValueRequired")
    if old is not None and not spec.get("selector"):
        yield Cause("spec.selector", "Required value", "FieldValueRequired")
    for field in ("template", "selector", "completionMode", "completions"):
        if old is not None and old["spec"].get(field) != spec.get(field) and not old["spec"].get("suspend"):
            yield Cause(f"spec.{field}", _IMMUTABLE.format(value=quoted(spec.get(field))))


def _pod_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    yield from _pod_spec_rules(spec, "spec")
    if old is None:
        return
    was, now = _frozen_part(old["spec"]), _frozen_part(spec)
    if was.get("nodeName") is None:
        now.pop("nodeName", None)
    if was != now:
        text = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.terminationGracePeriodSeconds`,`spec.tolerations` (only additions to existing tolerations)"
        )
        yield Cause("spec", text, "FieldValueForbidden")


def _frozen_part(spec: Object) -> Object:
    frozen = {name: value for name, value in spec.items() if name not in _POD_MUTABLE}
    for part in ("containers", "initContainers"):
        if part in frozen:
            frozen[part] = [{name: value for name, value in entry.items() if name != "image"} for entry in frozen[part]]
    return frozen


def _pod_spec_rules(spec: Object, path: str) -> Iterator[Cause]:
    containers = spec.get("containers") or []
    if not containers:
        yield Cause(f"{path}.containers", "Required value", "FieldValueRequired")
    yield from pod_rules(spec, path)
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    seen: set[Any] = set()
    for part in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(part) or []):
            where, name = f"{path}.{part}[{index}]", container.get("name", "")
            if not _DNS_LABEL.match(name):
                yield Cause(
                    f"{where}.name",
                    f"Invalid value: {quoted(name)}: must be a lowercase RFC 1123 label of at most 63 characters",
                )
            if name in seen:
                yield Cause(f"{where}.name", f"Duplicate value: {quoted(name)}", "FieldValueDuplicate")
            seen.add(name)
            yield from container_rules(container, where)
            if not container.get("image"):
                yield Cause(f"{where}.image", "Required value", "FieldValueRequired")
            for place, mount in enumerate(container.get("volumeMounts") or []):
                if mount.get("name") not in volumes:
                    yield Cause(
                        f"{where}.volumeMounts[{place}].name",
                        f"Not found: {quoted(mount.get('name'))}",
                        "FieldValueNotFound",
                    )


def _config_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    for part in ("data", "binaryData"):
        for key in new.get(part) or {}:
            if not _CONFIG_KEY.match(key) or len(key) > 253:
                text = f"Invalid value: {quoted(key)}: a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
                yield Cause(f"{part}[{key}]", text)
    if old is not None and old.get("immutable"):
        for part in ("data", "binaryData", "immutable"):
            if old.get(part) != new.get(part):
                yield Cause(part, "Forbidden: field is immutable when `immutable` is set", "FieldValueForbidden")
    size = sum(len(key) + len(value) for part in ("data", "binaryData") for key, value in (new.get(part) or {}).items())
    if size > 1048576:
        yield Cause("data", "Too long: may not be more than 1048576 bytes", "FieldValueTooLong")


def _secret_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    yield from _config_rules(old, new)
    if old is not None and old.get("type") != new.get("type"):
        yield Cause("type", _IMMUTABLE.format(value=quoted(new.get("type"))))


def _service_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and spec.get("type") != "ExternalName":
        yield Cause("spec.ports", "Required value", "FieldValueRequired")
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        if not 1 <= port.get("port", 0) <= 65535:
            yield Cause(f"{where}.port", f"Invalid value: {port.get('port')}: must be between 1 and 65535, inclusive")
        if len(ports) > 1 and not port.get("name"):
            yield Cause(f"{where}.name", "Required value", "FieldValueRequired")


def _role_ref_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    if old is not None and old.get("roleRef") != new.get("roleRef"):
        yield Cause("roleRef", f"Invalid value: {quoted(new.get('roleRef'))}: cannot change roleRef")


def _lease_rules(old: Object | None, new: Object) -> Iterator[Cause]:
    seconds = (new.get("spec") or {}).get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield Cause("spec.leaseDurationSeconds", f"Invalid value: {seconds}: must be greater than 0")


_RULES: dict[tuple[str, str], Callable[[Object | None, Object], Iterator[Cause]]] = {
    ("apps", "deployments"): _selector_rules,
    ("apps", "replicasets"): _selector_rules,
    ("apps", "daemonsets"): _selector_rules,
    ("apps", "statefulsets"): _stateful_set_rules,
    ("batch", "jobs"): _job_rules,
    ("", "pods"): _pod_rules,
    ("", "configmaps"): _config_rules,
    ("", "secrets"): _secret_rules,
    ("", "services"): _service_rules,
    ("coordination.k8s.io", "leases"): _lease_rules,
    ("rbac.authorization.k8s.io", "rolebindings"): _role_ref_rules,
    ("rbac.authorization.k8s.io", "clusterrolebindings"): _role_ref_rules,
}
