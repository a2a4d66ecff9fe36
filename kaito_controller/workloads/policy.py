"""Which pod templates and volumes of users are refused, and why.

A Workspace is written by someone who may have no right to create pods, and is turned into pods by a controller that has. A template
must therefore not reach further than the namespace it is in: not to the node (host namespaces, paths, ports, privileges), not past
the scheduler, not to the API server or a cloud with an identity, and not to what other programs of the cluster do at the sight of a
label or an annotation. Which fields may be there at all is the allow-list of `template_fields`; here is which of their values are harmless.
What passes also passes Pod Security *baseline*; running as root inside the container is allowed.

Everything here reads raw JSON of any shape. What is not of the shape that merging needs is refused with words (`template_shape`); the rest
of the template is the API server's to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.api.violation import Violation, quote
from kaito_controller.workloads import template_fields
from kaito_controller.workloads.template_fields import unknown_fields
from kaito_controller.workloads.template_shape import misshapen

SAFE_VOLUMES = tuple(sorted(template_fields.VOLUME))
"""Volume kinds of Pod Security *restricted*: all stay within the namespace."""

_HOST_FLAGS = ("hostNetwork", "hostPID", "hostIPC")
_SAFE_CAPABILITIES = frozenset({"NET_BIND_SERVICE"})
_SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
    }
)
_SAFE_SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
"""Of Pod Security *baseline*, as of Kubernetes 1.37."""
_POD_FIELDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "hostUsers": ((None, False), "remove it, or set it to false"),
    "nodeName": ((None, ""), "it bypasses the scheduler; use resource.preferredNodes instead"),
    "restartPolicy": ((None, "", "Always"), "a model server always restarts; remove it"),
    "activeDeadlineSeconds": ((None,), "a model server has no deadline; remove it"),
    "ephemeralContainers": ((None, []), "a template cannot have any; remove them"),
    "schedulerName": (
        (None, "", "default-scheduler"),
        "another scheduler knows nothing of the chosen nodes; remove it",
    ),
}
"""Field → values that are harmless, and what to do about others."""
_CONTAINER_LISTS = ("initContainers", "containers")


@dataclass(frozen=True, slots=True)
class TemplatePolicy:
    """What the operator of the cluster allows beyond the list of `template_fields`, or takes away from it."""

    metadata_prefixes: tuple[str, ...] = ()
    """Further prefixes of labels and annotations, such as `example.com/`."""
    priority_classes: tuple[str, ...] = ()
    runtime_classes: tuple[str, ...] = ()
    csi_drivers: tuple[str, ...] = ()
    """Drivers of inline CSI volumes. Some read Secrets of any namespace that their attributes name, so none is let through unasked."""
    secrets: bool = True
    """Templates may read Secrets of their namespace, which their author may have no right to read."""


DEFAULT_POLICY = TemplatePolicy()


class TemplateRefusedError(ValueError):
    """A builder was given a template that `violations` refuses."""

    def __init__(self, found: list[Violation]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.violations = found


def violations(
    template: Mapping[str, Any], policy: TemplatePolicy = DEFAULT_POLICY, path: str = "inference.template"
) -> list[Violation]:
    """Everything in a pod template that reaches beyond its namespace; empty when it may run."""
    if wrong := misshapen(template, path):
        return wrong
    spec = _map(template.get("spec"))
    at = f"{path}.spec"
    found = [*_metadata(_map(template.get("metadata")), policy, f"{path}.metadata"), *_fields(spec, at)]
    found += _pod(spec, policy, at)
    for index, volume in enumerate(_list(spec.get("volumes"))):
        found += volume_violations(volume, f"{at}.volumes[{index}]", policy)
    for group in _CONTAINER_LISTS:
        for index, container in enumerate(_list(spec.get(group))):
            found += _container(container, policy, f"{at}.{group}[{index}]")
    return found


def volume_violations(volume: Mapping[str, Any], path: str, policy: TemplatePolicy = DEFAULT_POLICY) -> list[Violation]:
    """What is refused about one volume (source): a kind that reaches beyond the namespace, a token, a Secret where none may be read."""
    kinds = [key for key, value in volume.items() if key != "name" and value is not None]
    found = [
        Violation(f"{path}.{kind}", f"this kind of volume is refused; use one of {', '.join(SAFE_VOLUMES)}")
        for kind in kinds
        if kind not in SAFE_VOLUMES
    ]
    for kind in ("csi", "projected"):
        found += unknown_fields({kind: volume.get(kind)}, template_fields.VOLUME, path)
    driver = _map(volume.get("csi")).get("driver")
    if volume.get("csi") is not None and driver not in policy.csi_drivers:
        found.append(
            Violation(
                f"{path}.csi.driver",
                _not_listed(driver, "inline CSI driver", policy.csi_drivers, "--template-csi-drivers"),
            )
        )
    sources = _list(_map(volume.get("projected")).get("sources"))
    if not policy.secrets and (volume.get("secret") is not None or any("secret" in source for source in sources)):
        found.append(Violation(path, _NO_SECRETS))
    return found


_NO_SECRETS = "templates may not read Secrets in this cluster (--template-secrets=refuse); remove it, or ask who runs the operator"


def _not_listed(value: Any, what: str, allowed: Iterable[str], flag: str) -> str:
    names = ", ".join(sorted(allowed)) or "none"
    return (
        f"{quote(value)} is no {what} that templates may use here; allowed: {names} ({flag} of the operator); remove it"
    )


def _fields(spec: Mapping[str, Any], at: str) -> Iterator[Violation]:
    """Unknown fields of the pod; volumes are judged one by one."""
    yield from unknown_fields({key: value for key, value in spec.items() if key != "volumes"}, template_fields.POD, at)


def _metadata(metadata: Mapping[str, Any], policy: TemplatePolicy, at: str) -> Iterator[Violation]:
    yield from unknown_fields(metadata, template_fields.METADATA, at)
    known = {"labels": template_fields.LABEL_PREFIXES, "annotations": template_fields.ANNOTATION_PREFIXES}
    for kind, prefixes in known.items():
        allowed = (*prefixes, *policy.metadata_prefixes)
        for key in _map(metadata.get(kind)):
            prefix, slash, name = str(key).rpartition("/")
            if (slash and f"{prefix}/" not in allowed) or (not slash and name in template_fields.REFUSED_NAMES):
                why = f"is refused, because other programs may act on it; use a key without a prefix, or one of {', '.join(allowed)}"
                yield Violation(f"{at}.{kind}", f"{quote(key)} {why}")


def _pod(spec: Mapping[str, Any], policy: TemplatePolicy, at: str) -> Iterator[Violation]:
    for flag in _HOST_FLAGS:
        if spec.get(flag):
            yield Violation(f"{at}.{flag}", "pods of a Workspace stay out of the node's namespaces; remove it")
    yield from _identity(spec, at)
    for field, (harmless, why) in _POD_FIELDS.items():
        if spec.get(field) not in harmless:
            yield Violation(f"{at}.{field}", f"{quote(spec[field])} is refused: {why}")
    classes = {
        "priorityClassName": ("priority class", policy.priority_classes, "--template-priority-classes"),
        "runtimeClassName": ("runtime class", policy.runtime_classes, "--template-runtime-classes"),
    }
    for field, (what, allowed, flag) in classes.items():
        if spec.get(field) not in (None, "", *allowed):
            yield Violation(f"{at}.{field}", _not_listed(spec[field], what, allowed, flag))
    context = _map(spec.get("securityContext"))
    for sysctl in _list(context.get("sysctls")):
        if sysctl.get("name") not in _SAFE_SYSCTLS:
            yield Violation(f"{at}.securityContext.sysctls", f"{quote(sysctl.get('name'))} affects the node; remove it")
    yield from _confinement(context, f"{at}.securityContext")


def _identity(spec: Mapping[str, Any], at: str) -> Iterator[Violation]:
    for field in ("serviceAccountName", "serviceAccount"):
        if spec.get(field) not in (None, "", "default"):
            yield Violation(
                f"{at}.{field}", f"{quote(spec[field])} is refused: pods of a Workspace get no identity; remove it"
            )
    if spec.get("automountServiceAccountToken"):
        yield Violation(f"{at}.automountServiceAccountToken", "pods of a Workspace get no identity; remove it")


def _container(container: Mapping[str, Any], policy: TemplatePolicy, at: str) -> Iterator[Violation]:
    for index, port in enumerate(_list(container.get("ports"))):
        if port.get("hostPort"):
            yield Violation(f"{at}.ports[{index}].hostPort", "clients use the Service of the Workspace; remove it")
    context = _map(container.get("securityContext"))
    field = f"{at}.securityContext"
    if context.get("privileged"):
        yield Violation(f"{field}.privileged", "privileged containers own the node; remove it")
    if context.get("allowPrivilegeEscalation"):
        yield Violation(f"{field}.allowPrivilegeEscalation", "remove it, or set it to false")
    if context.get("procMount") not in (None, "", "Default"):
        yield Violation(f"{field}.procMount", "only Default is allowed; remove it")
    yield from _capabilities(_map(context.get("capabilities")).get("add"), f"{field}.capabilities.add")
    yield from _confinement(context, field)
    if not policy.secrets:
        yield from _secrets(container, at)


def _capabilities(added: Any, at: str) -> Iterator[Violation]:
    if added is not None and not isinstance(added, list):
        yield Violation(at, "must be a list")
        return
    for capability in added or []:
        if capability not in _SAFE_CAPABILITIES:
            yield Violation(at, f"{quote(capability)} is refused; only NET_BIND_SERVICE may be added")


def _secrets(container: Mapping[str, Any], at: str) -> Iterator[Violation]:
    for index, entry in enumerate(_list(container.get("env"))):
        if _map(entry.get("valueFrom")).get("secretKeyRef") is not None:
            yield Violation(f"{at}.env[{index}].valueFrom.secretKeyRef", _NO_SECRETS)
    for index, entry in enumerate(_list(container.get("envFrom"))):
        if entry.get("secretRef") is not None:
            yield Violation(f"{at}.envFrom[{index}].secretRef", _NO_SECRETS)


def _confinement(context: Mapping[str, Any], at: str) -> Iterator[Violation]:
    for profile in ("seccompProfile", "appArmorProfile"):
        if _map(context.get(profile)).get("type") not in (None, "RuntimeDefault", "Localhost"):
            yield Violation(
                f"{at}.{profile}.type",
                "only RuntimeDefault and Localhost are allowed; remove it for the runtime's default",
            )
    kind = _map(context.get("seLinuxOptions")).get("type")
    if kind is not None and kind not in _SAFE_SELINUX_TYPES:
        yield Violation(
            f"{at}.seLinuxOptions.type",
            f"{quote(kind)} is refused: it lets the container leave its confinement; remove it",
        )


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
