"""Defaults that the API server writes into built-in objects (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go), for the types we use.

They matter because clients see them: a controller that compares its intent with what it reads must expect them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType


def apply_defaults(kind: ResourceType, obj: Object) -> None:
    """Fill in, in place."""
    found = _DEFAULTS.get(kind.storage)
    if found and isinstance(obj.get("spec"), dict):
        found(obj["spec"], obj)


def _fill(target: Object, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = value


def _pod_spec(spec: Object) -> None:
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        if isinstance(container, dict):
            _container(container)
    for volume in spec.get("volumes") or []:
        for source, mode in (("configMap", 420), ("secret", 420), ("downwardAPI", 420), ("projected", 420)):
            if isinstance(volume, dict) and isinstance(volume.get(source), dict):
                _fill(volume[source], defaultMode=mode)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].partition(":")[2]
    always = tag in ("", "latest") and "@" not in image
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if always else "IfNotPresent",
    )
    for port in container.get("ports") or []:
        _fill(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if isinstance(probe, dict):
            _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if isinstance(probe.get("httpGet"), dict):
                _fill(probe["httpGet"], path="/", scheme="HTTP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if isinstance(reference, dict):
            _fill(reference, apiVersion="v1")
    limits = (container.get("resources") or {}).get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, value in limits.items():
            requests.setdefault(name, value)


def _template(spec: Object) -> None:
    template = spec.get("template")
    if isinstance(template, dict):
        template.setdefault("metadata", {})
        if isinstance(template.get("spec"), dict):
            _pod_spec(template["spec"])


def _pod(spec: Object, obj: Object) -> None:
    _fill(
        spec, serviceAccountName="default", enableServiceLinks=True, preemptionPolicy="PreemptLowerPriority", priority=0
    )
    _pod_spec(spec)
    tolerations = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(
            entry.get("key") == key or (not entry.get("key") and entry.get("operator") == "Exists")
            for entry in tolerations
        ):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def _deployment(spec: Object, obj: Object) -> None:
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy={})
    _fill(spec["strategy"], type="RollingUpdate")
    if spec["strategy"]["type"] == "RollingUpdate":
        _fill(spec["strategy"], rollingUpdate={})
        _fill(spec["strategy"]["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _replica_set(spec: Object, obj: Object) -> None:
    _fill(spec, replicas=1)
    _template(spec)


def _stateful_set(spec: Object, obj: Object) -> None:
    _fill(spec, replicas=1, revisionHistoryLimit=10, podManagementPolicy="OrderedReady", updateStrategy={})
    _fill(spec, persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"})
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"], rollingUpdate={"partition": 0})
    _template(spec)


def _daemon_set(spec: Object, obj: Object) -> None:
    _fill(spec, revisionHistoryLimit=10, updateStrategy={})
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"], rollingUpdate={"maxSurge": 0, "maxUnavailable": 1})
    _template(spec)


def _job(spec: Object, obj: Object) -> None:
    _fill(spec, backoffLimit=6, completionMode="NonIndexed", suspend=False, podReplacementPolicy="TerminatingOrFailed")
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _fill(spec, parallelism=1, manualSelector=False)
    _template(spec)


def give_job_identity(obj: Object) -> None:
    """The server gives the pods of a new Job a selector of their own (pkg/registry/batch/job/strategy.go); an update has to bring it."""
    spec = obj["spec"]
    if spec.get("manualSelector") or not isinstance(spec.get("template"), dict):
        return
    metadata = obj["metadata"]
    own = {"batch.kubernetes.io/controller-uid": metadata["uid"]}
    if spec.get("selector") is None:
        spec["selector"] = {"matchLabels": own}
    template = spec["template"].setdefault("metadata", {})
    labels = {
        "batch.kubernetes.io/job-name": metadata["name"],
        "controller-uid": metadata["uid"],
        "job-name": metadata["name"],
    }
    template["labels"] = (template.get("labels") or {}) | own | labels


def _service(spec: Object, obj: Object) -> None:
    _fill(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    if spec["type"] != "ExternalName":
        _fill(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    for port in spec.get("ports") or []:
        _fill(port, protocol="TCP")
        _fill(port, targetPort=port.get("port"))


_DEFAULTS: dict[tuple[str, str], Callable[[Object, Object], None]] = {
    ("", "pods"): _pod,
    ("", "services"): _service,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "daemonsets"): _daemon_set,
    ("batch", "jobs"): _job,
}
