"""What a pod template may carry: every field, annotation prefix and label prefix that is let through. Everything else is refused by name.

An allow-list, because Kubernetes gains fields with every release and clusters gain injectors with every add-on: what nobody has judged
yet must not pass. Which *values* of an allowed field are harmless is decided in `policy`. The table in this package's README is
generated from here.

`Fields` maps a name to what may be below it; None: Kubernetes' own words, not looked into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from kaito_controller.api.violation import Violation

Fields: TypeAlias = "Mapping[str, Fields | None]"


def _names(*names: str) -> dict[str, Fields | None]:
    return dict.fromkeys(names)


_HTTP_GET = _names("httpHeaders", "path", "port", "scheme")
_TCP = _names("port")
_PROBE: Fields = {
    **_names("exec", "failureThreshold", "initialDelaySeconds", "periodSeconds", "successThreshold"),
    **_names("terminationGracePeriodSeconds", "timeoutSeconds", "grpc"),
    "httpGet": _HTTP_GET,
    "tcpSocket": _TCP,
}
_HOOK: Fields = {**_names("exec", "sleep"), "httpGet": _HTTP_GET, "tcpSocket": _TCP}
_SECCOMP = _names("type", "localhostProfile")
_SELINUX = _names("type", "level")
_ANY_SECURITY: Fields = {
    **_names("runAsGroup", "runAsNonRoot", "runAsUser"),
    "appArmorProfile": _SECCOMP,
    "seLinuxOptions": _SELINUX,
    "seccompProfile": _SECCOMP,
}
_CONTAINER: Fields = {
    **_names("args", "command", "image", "imagePullPolicy", "name", "resizePolicy", "restartPolicy"),
    **_names(
        "stdin", "stdinOnce", "terminationMessagePath", "terminationMessagePolicy", "tty", "volumeDevices", "workingDir"
    ),
    "env": {
        **_names("name", "value"),
        "valueFrom": _names("configMapKeyRef", "fieldRef", "resourceFieldRef", "secretKeyRef"),
    },
    "envFrom": _names("configMapRef", "prefix", "secretRef"),
    "lifecycle": {"postStart": _HOOK, "preStop": _HOOK, "stopSignal": None},
    "livenessProbe": _PROBE,
    "ports": _names("containerPort", "name", "protocol", "hostPort"),
    "readinessProbe": _PROBE,
    "resources": _names("limits", "requests"),
    "securityContext": {
        **_ANY_SECURITY,
        **_names("allowPrivilegeEscalation", "privileged", "procMount", "readOnlyRootFilesystem"),
        "capabilities": _names("add", "drop"),
    },
    "startupProbe": _PROBE,
    "volumeMounts": _names(
        "mountPath", "mountPropagation", "name", "readOnly", "recursiveReadOnly", "subPath", "subPathExpr"
    ),
}
VOLUME: Fields = {
    **_names("configMap", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "secret"),
    "csi": _names("driver", "fsType", "readOnly", "volumeAttributes"),
    "projected": {"defaultMode": None, "sources": _names("configMap", "downwardAPI", "secret")},
}
"""Kinds of volumes, all of which stay within the namespace."""
POD: Fields = {
    **_names("activeDeadlineSeconds", "affinity", "automountServiceAccountToken", "dnsConfig", "dnsPolicy"),
    **_names("enableServiceLinks", "ephemeralContainers", "hostAliases", "hostIPC", "hostNetwork", "hostPID"),
    **_names(
        "hostUsers", "hostname", "imagePullSecrets", "nodeName", "nodeSelector", "priorityClassName", "readinessGates"
    ),
    **_names("resources", "restartPolicy", "runtimeClassName", "schedulerName", "serviceAccount", "serviceAccountName"),
    **_names("setHostnameAsFQDN", "shareProcessNamespace", "subdomain", "terminationGracePeriodSeconds", "tolerations"),
    **_names("topologySpreadConstraints"),
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "securityContext": {
        **_ANY_SECURITY,
        **_names(
            "fsGroup",
            "fsGroupChangePolicy",
            "seLinuxChangePolicy",
            "supplementalGroups",
            "supplementalGroupsPolicy",
            "sysctls",
        ),
    },
    "volumes": {"name": None, **VOLUME},
}
"""The pod. Of those that are only let through with a harmless value, `policy` says which."""
METADATA = _names("labels", "annotations", "creationTimestamp")

ANNOTATION_PREFIXES = ("prometheus.io/",)
LABEL_PREFIXES = ("app.kubernetes.io/",)
"""Of keys with a prefix; keys without one are the author's own, apart from the following."""
REFUSED_NAMES = frozenset(
    {"aadpodidbinding", "controller-revision-hash", "pod-template-generation", "pod-template-hash"}
)
"""Keys without a prefix that mean something to others: an identity (aad-pod-identity), and bookkeeping of Kubernetes' controllers."""


def unknown_fields(value: Any, allowed: Fields, path: str) -> Iterator[Violation]:
    """Every field below `path` that is not in the list. A field that is null is not there."""
    for name, child in value.items() if isinstance(value, dict) else ():
        if child is None:
            continue
        if name not in allowed:
            yield Violation(f"{path}.{name}", "is no field that a template may set; remove it")
            continue
        below = allowed[name]
        if below is None:
            continue
        entries = enumerate(child) if isinstance(child, list) else ((None, child),)
        for index, entry in entries:
            yield from unknown_fields(entry, below, f"{path}.{name}" if index is None else f"{path}.{name}[{index}]")


def allowed_rows() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """(places, names allowed there) for the documentation, from the outside in; places where the same is allowed share a row."""
    places: dict[tuple[str, ...], list[str]] = {tuple(sorted(METADATA)): ["metadata"]}
    for place, names in _places("spec", {name: below for name, below in POD.items() if name != "initContainers"}):
        places.setdefault(names, []).append(place)
    return ((tuple(found), names) for names, found in places.items())


def _places(place: str, allowed: Fields) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield place, tuple(sorted(allowed))
    for name, below in sorted(allowed.items()):
        if below is not None:
            yield from _places(f"{place}.{name}" if place != "spec" else name, below)
