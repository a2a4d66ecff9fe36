"""The built-in resource types that localcluster serves, one line each, and the two spellings of Events.

The list is what the operators, `kubectl` and the suites use. Schemas come from `builtin_schemas.py`, defaults from `defaults.py`.
"""

from __future__ import annotations

from typing import Any

from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType

# version | kind | plural | namespaced | short names | categories | subresources | counts generation
_TYPES = """
v1                                Namespace              namespaces               c ns        -   status,finalize        -
v1                                Node                   nodes                    c no        -   status,proxy           -
v1                                Pod                    pods                     n po        all status,eviction,log,exec,proxy,binding g
v1                                Service                services                 n svc       all status,proxy           -
v1                                ConfigMap              configmaps               n cm        -   -                      -
v1                                Secret                 secrets                  n -         -   -                      -
v1                                ServiceAccount         serviceaccounts          n sa        -   token                  -
v1                                Event                  events                   n ev        -   -                      -
v1                                Endpoints              endpoints                n ep        -   -                      -
v1                                PersistentVolumeClaim  persistentvolumeclaims   n pvc       -   status                 -
v1                                PersistentVolume       persistentvolumes        c pv        -   status                 -
apps/v1                           Deployment             deployments              n deploy    all status,scale           g
apps/v1                           ReplicaSet             replicasets              n rs        all status,scale           g
apps/v1                           StatefulSet            statefulsets             n sts       all status,scale           g
apps/v1                           DaemonSet              daemonsets               n ds        all status                 g
apps/v1                           ControllerRevision     controllerrevisions      n -         -   -                      -
batch/v1                          Job                    jobs                     n -         all status                 g
policy/v1                         PodDisruptionBudget    poddisruptionbudgets     n pdb       -   status                 g
coordination.k8s.io/v1            Lease                  leases                   n -         -   -                      -
discovery.k8s.io/v1               EndpointSlice          endpointslices           n -         -   -                      g
events.k8s.io/v1                  Event                  events                   n ev        -   -                      -
networking.k8s.io/v1              NetworkPolicy          networkpolicies          n netpol    -   -                      g
scheduling.k8s.io/v1              PriorityClass          priorityclasses          c pc        -   -                      g
storage.k8s.io/v1                 StorageClass           storageclasses           c sc        -   -                      -
rbac.authorization.k8s.io/v1      Role                   roles                    n -         -   -                      -
rbac.authorization.k8s.io/v1      RoleBinding            rolebindings             n -         -   -                      -
rbac.authorization.k8s.io/v1      ClusterRole            clusterroles             c -         -   -                      -
rbac.authorization.k8s.io/v1      ClusterRoleBinding     clusterrolebindings      c -         -   -                      -
apiextensions.k8s.io/v1           CustomResourceDefinition customresourcedefinitions c crd,crds api-extensions status    g
admissionregistration.k8s.io/v1   ValidatingAdmissionPolicy validatingadmissionpolicies c - api-extensions status        g
admissionregistration.k8s.io/v1   ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings c - api-extensions - g
"""
_REVIEWS = """
authentication.k8s.io/v1          TokenReview              tokenreviews              c
authentication.k8s.io/v1          SelfSubjectReview        selfsubjectreviews        c
authorization.k8s.io/v1           SubjectAccessReview      subjectaccessreviews      c
authorization.k8s.io/v1           SelfSubjectAccessReview  selfsubjectaccessreviews  c
authorization.k8s.io/v1           SelfSubjectRulesReview   selfsubjectrulesreviews   c
authorization.k8s.io/v1           LocalSubjectAccessReview localsubjectaccessreviews n
"""
_FIELD_LABELS = {
    "pods": (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    "nodes": ("spec.unschedulable",),
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "jobs": ("status.successful",),
    "replicasets": ("status.replicas",),
    "services": ("spec.clusterIP", "spec.type"),
}
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_EVENT_LABELS = {
    "": (*(f"involvedObject.{part}" for part in _INVOLVED), "reason", "reportingComponent", "source", "type"),
    "events.k8s.io": (*(f"regarding.{part}" for part in _INVOLVED), "reason", "reportingController", "type"),
}
REVIEW_KINDS = frozenset(line.split()[1] for line in _REVIEWS.strip().splitlines())


def builtin_types() -> list[ResourceType]:
    """Fresh descriptors of everything built in."""
    return [*map(_type, _TYPES.strip().splitlines()), *map(_review, _REVIEWS.strip().splitlines())]


def _type(line: str) -> ResourceType:
    api_version, kind, plural, scope, short, categories, subresources, generation = line.split()
    group, _, version = api_version.rpartition("/")
    events_v1 = group == "events.k8s.io"
    return ResourceType(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=scope == "n",
        short_names=_split(short),
        categories=_split(categories),
        subresources=frozenset(_split(subresources)),
        counts_generation=generation == "g",
        field_labels=_EVENT_LABELS[group] if kind == "Event" else _FIELD_LABELS.get(plural, ()),
        storage=("", "events") if events_v1 else ("", ""),
        to_storage=core_event if events_v1 else None,
        from_storage=new_event if events_v1 else None,
    )


def _review(line: str) -> ResourceType:
    api_version, kind, plural, scope = line.split()
    group, _, version = api_version.rpartition("/")
    return ResourceType(group, version, plural, kind, namespaced=scope == "n", verbs=("create",))


def _split(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


# events.k8s.io/v1 and v1 are one object in two spellings (k8s.io/kubernetes/pkg/apis/core/v1 conversion of Event).
_RENAMED = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_BACK = {old: new for new, old in _RENAMED.items()}


def core_event(obj: Object) -> Object:
    """An events.k8s.io/v1 Event as v1."""
    return _renamed(obj, _RENAMED, "v1")


def new_event(obj: Object) -> Object:
    """A v1 Event as events.k8s.io/v1."""
    return _renamed(obj, _BACK, "events.k8s.io/v1")


def _renamed(obj: Object, names: dict[str, str], api_version: str) -> Object:
    renamed: dict[str, Any] = {names.get(field, field): value for field, value in obj.items()}
    return renamed | {"apiVersion": api_version}
