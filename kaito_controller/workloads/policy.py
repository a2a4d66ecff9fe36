"""Which pod templates and volumes of users are refused, and why.

A Workspace is written by someone who may have no right to create pods, and is turned into pods by a controller that has. A template
must therefore not reach further than the namespace it is in: not to the node (host namespaces, paths, ports, privileges), not past
the scheduler, and not to the API server with an identity (service accounts). The rules are those of Pod Security *baseline*
plus the volume kinds and privilege-escalation rule of *restricted*; running as root inside the container is allowed.

Everything here reads raw JSON of any shape. What is not of the shape that merging needs is refused with words (`template_shape`); the rest
of the template is the API server's to judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controller_runtime.resources import Object
from kaito_controller.api.violation import Violation, quote
from kaito_controller.workloads.template_shape import misshapen

SAFE_VOLUMES = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
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
_POD_FIELDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "hostUsers": ((None, False), "remove it, or set it to false"),
    "nodeName": ((None, ""), "it bypasses the scheduler; use resource.preferredNodes instead"),
    "restartPolicy": ((None, "", "Always"), "a model server always restarts; remove it"),
    "activeDeadlineSeconds": ((None,), "a model server has no deadline; remove it"),
    "ephemeralContainers": ((None, []), "a template cannot have any; remove them"),
}
"""Field → values that are harmless, and what to do about others."""
_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


class TemplateRefusedError(ValueError):
    """A builder was given a template that `violations` refuses."""

    def __init__(self, found: list[Violation]) -> None:
        super().__init__("; ".join(map(str, found)))
        self.violations = found


def violations(template: Mapping[str, Any], path: str = "inference.template") -> list[Violation]:
    """Everything in a pod template that reaches beyond its namespace; empty when it may run."""
    if wrong := misshapen(template, path):
        return wrong
    spec = _map(template.get("spec"))
    at = f"{path}.spec"
    found = [*_pod(spec, at)]
    for index, volume in enumerate(_list(spec.get("volumes"))):
        found += volume_violations(volume, f"{at}.volumes[{index}]")
    for group in _CONTAINER_LISTS:
        for index, container in enumerate(_list(spec.get(group))):
            found += _container(container, f"{at}.{group}[{index}]")
    return found


def volume_violations(volume: Mapping[str, Any], path: str) -> list[Violation]:
    """What is refused about one volume or volume source: a kind that reaches beyond the namespace, or a token."""
    kinds = [key for key, value in volume.items() if key != "name" and value is not None]
    found = [
        Violation(f"{path}.{kind}", f"this kind of volume is refused; use one of {', '.join(SAFE_VOLUMES)}")
        for kind in kinds
        if kind not in SAFE_VOLUMES
    ]
    for index, source in enumerate(_list(_map(volume.get("projected")).get("sources"))):
        if "serviceAccountToken" in source:
            field = f"{path}.projected.sources[{index}].serviceAccountToken"
            found.append(Violation(field, "pods of a Workspace get no identity; remove it"))
    return found


def _pod(spec: Mapping[str, Any], at: str) -> Iterator[Violation]:
    for flag in _HOST_FLAGS:
        if spec.get(flag):
            yield Violation(f"{at}.{flag}", "pods of a Workspace stay out of the node's namespaces; remove it")
    yield from _identity(spec, at)
    for field, (harmless, why) in _POD_FIELDS.items():
        if spec.get(field) not in harmless:
            yield Violation(f"{at}.{field}", f"{quote(spec[field])} is refused: {why}")
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


def _container(container: Mapping[str, Any], at: str) -> Iterator[Violation]:
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
    added = _map(context.get("capabilities")).get("add")
    for capability in added if isinstance(added, list) else []:
        if capability not in _SAFE_CAPABILITIES:
            yield Violation(
                f"{field}.capabilities.add", f"{quote(capability)} is refused; only NET_BIND_SERVICE may be added"
            )
    yield from _confinement(context, field)


def _confinement(context: Mapping[str, Any], at: str) -> Iterator[Violation]:
    for profile in ("seccompProfile", "appArmorProfile"):
        if _map(context.get(profile)).get("type") == "Unconfined":
            yield Violation(f"{at}.{profile}.type", "Unconfined is refused; remove it for the runtime's default")
    if _map(context.get("windowsOptions")).get("hostProcess"):
        yield Violation(f"{at}.windowsOptions.hostProcess", "host processes own the node; remove it")
    linux = _map(context.get("seLinuxOptions"))
    if linux.get("user") or linux.get("role"):
        yield Violation(f"{at}.seLinuxOptions", "user and role may not be set; remove them")


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Object]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
