"""The columns of built-in kinds (k8s.io/kubernetes/pkg/printers/internalversion), for those that `kubectl` users look at.

Other kinds show NAME and AGE, as kinds without a printer do on a real server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hack.localcluster.apiserver.columns import Column, age, human_duration, span
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import StorageKey

_NAME = Column("Name", lambda obj: obj["metadata"]["name"], format="name")


def columns_of(storage: StorageKey) -> list[Column]:
    """The columns of a built-in type."""
    extra = _COLUMNS.get(storage)
    return [_NAME, age()] if extra is None else extra


def _spec(obj: Object) -> Object:
    return obj.get("spec") or {}


def _status(obj: Object) -> Object:
    return obj.get("status") or {}


def _count(field: str) -> Callable[[Object], Any]:
    return lambda obj: _status(obj).get(field) or 0


def _integer(name: str, cell: Callable[[Object], Any], priority: int = 0) -> Column:
    return Column(name, cell, type="integer", priority=priority)


def _wide(name: str, cell: Callable[[Object], Any]) -> Column:
    return Column(name, cell, priority=1)


def _containers(obj: Object) -> list[Object]:
    return ((_spec(obj).get("template") or {}).get("spec") or {}).get("containers") or []


def selector_text(selector: Any) -> str:
    """A LabelSelector on one line."""
    labels = (selector or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def _ready_of(wanted: str = "replicas") -> Callable[[Object], str]:
    return lambda obj: f"{_status(obj).get('readyReplicas') or 0}/{_spec(obj).get(wanted) or 0}"


def _names(obj: Object) -> str:
    return ",".join(container.get("name", "") for container in _containers(obj))


def _images(obj: Object) -> str:
    return ",".join(container.get("image", "") for container in _containers(obj))


def _selector(obj: Object) -> str:
    return selector_text(_spec(obj).get("selector"))


_WORKLOAD_WIDE = [_wide("Containers", _names), _wide("Images", _images), _wide("Selector", _selector)]


def _statuses(obj: Object) -> list[Object]:
    return _status(obj).get("containerStatuses") or []


def _pod_ready(obj: Object) -> str:
    ready = sum(1 for status in _statuses(obj) if status.get("ready"))
    return f"{ready}/{len(_spec(obj).get('containers') or [])}"


def pod_phase(obj: Object) -> str:
    """The STATUS of a pod: the reason that matters most."""
    status = _status(obj)
    text = status.get("reason") or status.get("phase") or "Unknown"
    for container in reversed(_statuses(obj)):
        state = container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting.get("reason"):
            text = waiting["reason"]
        elif ended:
            text = ended.get("reason") or f"ExitCode:{ended.get('exitCode', 0)}"
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(text)


def _restarts(obj: Object) -> str:
    return str(sum(status.get("restartCount") or 0 for status in _statuses(obj)))


def _node_status(obj: Object) -> str:
    ready = next((entry for entry in _status(obj).get("conditions") or [] if entry.get("type") == "Ready"), None)
    text = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return text + (",SchedulingDisabled" if _spec(obj).get("unschedulable") else "")


def _roles(obj: Object) -> str:
    labels = obj["metadata"].get("labels") or {}
    prefix = "node-role.kubernetes.io/"
    roles = {key.removeprefix(prefix) for key in labels if key.startswith(prefix)}
    roles |= {value for key, value in labels.items() if key == "kubernetes.io/role"}
    return ",".join(sorted(roles)) or "<none>"


def _address(kind: str) -> Callable[[Object], str]:
    return lambda obj: next(
        (entry["address"] for entry in _status(obj).get("addresses") or [] if entry.get("type") == kind), "<none>"
    )


def _node_info(field: str) -> Callable[[Object], str]:
    return lambda obj: (_status(obj).get("nodeInfo") or {}).get(field) or "<unknown>"


def _ports(obj: Object) -> str:
    texts = []
    for port in _spec(obj).get("ports") or []:
        node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
        texts.append(f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}")
    return ",".join(texts) or "<none>"


def _service_selector(obj: Object) -> str:
    return selector_text({"matchLabels": _spec(obj).get("selector")})


def _job_status(obj: Object) -> str:
    for kind, text in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if any(
            entry.get("type") == kind and entry.get("status") == "True"
            for entry in _status(obj).get("conditions") or []
        ):
            return text
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else "Running"


def _event_age(obj: Object) -> str:
    series = obj.get("series") or {}
    last = (
        series.get("lastObservedTime")
        or obj.get("lastTimestamp")
        or obj.get("deprecatedLastTimestamp")
        or obj.get("eventTime")
    )
    return human_duration(last)


def _event_object(obj: Object) -> str:
    about = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"


def _role_ref(obj: Object) -> str:
    reference = obj.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


_COLUMNS: dict[StorageKey, list[Column]] = {
    ("", "pods"): [
        _NAME,
        Column("Ready", _pod_ready),
        Column("Status", pod_phase),
        Column("Restarts", _restarts),
        age(),
        _wide("IP", lambda obj: _status(obj).get("podIP") or "<none>"),
        _wide("Node", lambda obj: _spec(obj).get("nodeName") or "<none>"),
        _wide("Nominated Node", lambda obj: _status(obj).get("nominatedNodeName") or "<none>"),
        _wide("Readiness Gates", lambda obj: "<none>"),
    ],
    ("", "services"): [
        _NAME,
        Column("Type", lambda obj: _spec(obj).get("type", "ClusterIP")),
        Column("Cluster-IP", lambda obj: _spec(obj).get("clusterIP") or "<none>"),
        Column("External-IP", lambda obj: _spec(obj).get("externalName") or "<none>"),
        Column("Port(s)", _ports),
        age(),
        _wide("Selector", _service_selector),
    ],
    ("", "nodes"): [
        _NAME,
        Column("Status", _node_status),
        Column("Roles", _roles),
        age(),
        Column("Version", _node_info("kubeletVersion")),
        _wide("Internal-IP", _address("InternalIP")),
        _wide("External-IP", _address("ExternalIP")),
        _wide("OS-Image", _node_info("osImage")),
        _wide("Kernel-Version", _node_info("kernelVersion")),
        _wide("Container-Runtime", _node_info("containerRuntimeVersion")),
    ],
    ("", "namespaces"): [_NAME, Column("Status", lambda obj: _status(obj).get("phase", "")), age()],
    ("", "configmaps"): [
        _NAME,
        _integer("Data", lambda obj: len(obj.get("data") or {}) + len(obj.get("binaryData") or {})),
        age(),
    ],
    ("", "secrets"): [
        _NAME,
        Column("Type", lambda obj: obj.get("type", "Opaque")),
        _integer("Data", lambda obj: len(obj.get("data") or {})),
        age(),
    ],
    ("", "events"): [
        Column("Last Seen", _event_age),
        Column("Type", lambda obj: obj.get("type", "")),
        Column("Reason", lambda obj: obj.get("reason", "")),
        Column("Object", _event_object),
        Column("Message", lambda obj: str(obj.get("message") or obj.get("note") or "").strip()),
    ],
    ("apps", "deployments"): [
        _NAME,
        Column("Ready", _ready_of()),
        _integer("Up-to-date", _count("updatedReplicas")),
        _integer("Available", _count("availableReplicas")),
        age(),
        *_WORKLOAD_WIDE,
    ],
    ("apps", "replicasets"): [
        _NAME,
        _integer("Desired", lambda obj: _spec(obj).get("replicas", 1)),
        _integer("Current", _count("replicas")),
        _integer("Ready", _count("readyReplicas")),
        age(),
        *_WORKLOAD_WIDE,
    ],
    ("apps", "statefulsets"): [_NAME, Column("Ready", _ready_of()), age(), *_WORKLOAD_WIDE[:2]],
    ("batch", "jobs"): [
        _NAME,
        Column("Status", _job_status),
        Column("Completions", lambda obj: f"{_status(obj).get('succeeded') or 0}/{_spec(obj).get('completions') or 1}"),
        Column("Duration", lambda obj: span(_status(obj).get("startTime"), _status(obj).get("completionTime"))),
        age(),
        *_WORKLOAD_WIDE,
    ],
    ("coordination.k8s.io", "leases"): [
        _NAME,
        Column("Holder", lambda obj: _spec(obj).get("holderIdentity") or ""),
        age(),
    ],
    ("rbac.authorization.k8s.io", "rolebindings"): [_NAME, Column("Role", _role_ref), age()],
    ("rbac.authorization.k8s.io", "clusterrolebindings"): [_NAME, Column("Role", _role_ref), age()],
    ("policy", "poddisruptionbudgets"): [
        _NAME,
        Column("Min Available", lambda obj: str(_spec(obj).get("minAvailable", "N/A"))),
        Column("Max Unavailable", lambda obj: str(_spec(obj).get("maxUnavailable", "N/A"))),
        _integer("Allowed Disruptions", _count("disruptionsAllowed")),
        age(),
    ],
    ("apiextensions.k8s.io", "customresourcedefinitions"): [
        _NAME,
        Column("Created At", lambda obj: obj["metadata"].get("creationTimestamp", "")),
    ],
}
