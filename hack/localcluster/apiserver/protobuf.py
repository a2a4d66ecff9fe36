"""Request bodies in Kubernetes' protobuf encoding, which today's `kubectl` uses for `create` and `auth`.

The wire format is decoded by hand against the table below (field numbers from the `generated.proto` files, which never change).
A body with a type or a field that the table does not have is refused with 415, never half understood. Answers are always JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.objects import Object

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

# message: number name type, …   Types: s string, i integer, b boolean, y bytes, a message's name; [] repeated, {} a map with string keys,
# - ignored (the server sets it).
_MESSAGES = """
Unknown: 1 typeMeta TypeMeta, 2 raw y, 3 contentEncoding s, 4 contentType s
TypeMeta: 1 apiVersion s, 2 kind s
ObjectMeta: 1 name s, 2 generateName s, 3 namespace s, 4 selfLink s, 5 uid s, 6 resourceVersion s, 7 generation i, \
 8 creationTimestamp -, 11 labels {}s, 12 annotations {}s, 13 ownerReferences []OwnerReference, 14 finalizers []s
OwnerReference: 1 kind s, 3 name s, 4 uid s, 5 apiVersion s, 6 controller b, 7 blockOwnerDeletion b
v1/ConfigMap: 1 metadata ObjectMeta, 2 data {}s, 3 binaryData {}y, 4 immutable b
v1/Secret: 1 metadata ObjectMeta, 2 data {}y, 3 type s, 4 stringData {}s, 5 immutable b
v1/Namespace: 1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status -
NamespaceSpec: 1 finalizers []s
v1/ServiceAccount: 1 metadata ObjectMeta, 4 automountServiceAccountToken b
v1/Service: 1 metadata ObjectMeta, 2 spec ServiceSpec, 3 status -
ServiceSpec: 1 ports []ServicePort, 2 selector {}s, 3 clusterIP s, 4 type s, 5 externalIPs []s, 7 sessionAffinity s, \
 10 externalName s, 13 publishNotReadyAddresses b, 18 clusterIPs []s
ServicePort: 1 name s, 2 protocol s, 3 port i, 4 targetPort IntOrString, 5 nodePort i, 6 appProtocol s
IntOrString: 1 type i, 2 intVal i, 3 strVal s
apps/v1/Deployment: 1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status -
DeploymentSpec: 1 replicas i, 2 selector LabelSelector, 3 template PodTemplateSpec, 4 strategy TypeOnly, 5 minReadySeconds i, \
 6 revisionHistoryLimit i, 7 paused b, 9 progressDeadlineSeconds i
TypeOnly: 1 type s
LabelSelector: 1 matchLabels {}s, 2 matchExpressions []Requirement
Requirement: 1 key s, 2 operator s, 3 values []s
PodTemplateSpec: 1 metadata ObjectMeta, 2 spec PodSpec
PodSpec: 2 containers []Container, 3 restartPolicy s, 4 terminationGracePeriodSeconds i, 6 dnsPolicy s, 7 nodeSelector {}s, \
 8 serviceAccountName s, 9 serviceAccount s, 10 nodeName s
Container: 1 name s, 2 image s, 3 command []s, 4 args []s, 5 workingDir s, 6 ports []ContainerPort, 7 env []EnvVar, \
 8 resources Nothing, 13 terminationMessagePath s, 14 imagePullPolicy s, 20 terminationMessagePolicy s
Nothing:
ContainerPort: 1 name s, 2 hostPort i, 3 containerPort i, 4 protocol s, 5 hostIP s
EnvVar: 1 name s, 2 value s
rbac.authorization.k8s.io/v1/Role: 1 metadata ObjectMeta, 2 rules []PolicyRule
rbac.authorization.k8s.io/v1/ClusterRole: 1 metadata ObjectMeta, 2 rules []PolicyRule
rbac.authorization.k8s.io/v1/RoleBinding: 1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef
rbac.authorization.k8s.io/v1/ClusterRoleBinding: 1 metadata ObjectMeta, 2 subjects []Subject, 3 roleRef RoleRef
PolicyRule: 1 verbs []s, 2 apiGroups []s, 3 resources []s, 4 resourceNames []s, 5 nonResourceURLs []s
Subject: 1 kind s, 2 apiGroup s, 3 name s, 4 namespace s
RoleRef: 1 apiGroup s, 2 kind s, 3 name s
authorization.k8s.io/v1/SelfSubjectAccessReview: 1 metadata ObjectMeta, 2 spec SelfAccessSpec, 3 status -
authorization.k8s.io/v1/SubjectAccessReview: 1 metadata ObjectMeta, 2 spec AccessSpec, 3 status -
authorization.k8s.io/v1/SelfSubjectRulesReview: 1 metadata ObjectMeta, 2 spec RulesSpec, 3 status -
SelfAccessSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes
AccessSpec: 1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes, 3 user s, 4 groups []s, 6 uid s
RulesSpec: 1 namespace s
ResourceAttributes: 1 namespace s, 2 verb s, 3 group s, 4 version s, 5 resource s, 6 subresource s, 7 name s
NonResourceAttributes: 1 path s, 2 verb s
authentication.k8s.io/v1/SelfSubjectReview: 1 metadata ObjectMeta, 2 status -
authentication.k8s.io/v1/TokenReview: 1 metadata ObjectMeta, 2 spec TokenReviewSpec, 3 status -
TokenReviewSpec: 1 token s, 2 audiences []s
authentication.k8s.io/v1/TokenRequest: 1 metadata ObjectMeta, 2 spec TokenRequestSpec, 3 status -
TokenRequestSpec: 1 audiences []s, 3 boundObjectRef BoundObject, 4 expirationSeconds i
BoundObject: 1 kind s, 2 apiVersion s, 3 name s, 4 uid s
policy/v1/Eviction: 1 metadata ObjectMeta, 2 deleteOptions v1/DeleteOptions
v1/DeleteOptions: 1 gracePeriodSeconds i, 2 preconditions Preconditions, 3 orphanDependents b, 4 propagationPolicy s, \
 5 dryRun []s
Preconditions: 1 uid s, 2 resourceVersion s
"""


def _table() -> dict[str, dict[int, tuple[str, str]]]:
    table = {}
    for line in _MESSAGES.strip().replace("\\\n", "").splitlines():
        name, _, fields = line.rpartition(": ") if ": " in line else (line.rstrip(":"), "", "")
        parts = [field.split() for field in fields.split(",") if field.strip()]
        table[name] = {int(number): (field, kind) for number, field, kind in parts}
    return table


_TABLE = _table()


def decode(body: bytes) -> Object:
    """A protobuf body as the JSON object that it stands for; 415 for what the table does not know."""
    if not body.startswith(_MAGIC):
        raise StatusError(400, "the body is not Kubernetes protobuf")
    try:
        unknown = _message(body[len(_MAGIC) :], "Unknown", raw=True)
        kind = unknown["typeMeta"]
        name = f"{kind['apiVersion']}/{kind['kind']}"
        if name not in _TABLE:
            raise StatusError(415, f"localcluster reads no protobuf of {name}; send it as JSON (kubectl: `apply -f`)")
        return {"apiVersion": kind["apiVersion"], "kind": kind["kind"]} | _message(unknown.get("raw", b""), name)
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise StatusError(400, f"the protobuf body is damaged: {error}") from error


def _message(data: bytes, name: str, *, raw: bool = False) -> Object:
    result: Object = {}
    for number, value in _fields(data):
        field, kind = _TABLE[name].get(number, ("", ""))
        if kind == "-" or (not field and not value):
            continue
        if not field:
            raise StatusError(
                415, f"localcluster reads no protobuf field {number} of {name}; send it as JSON (kubectl: `apply -f`)"
            )
        if kind.startswith("[]"):
            result.setdefault(field, []).append(_value(value, kind[2:]))
        elif kind.startswith("{}"):
            entry = dict(_fields(value))
            result.setdefault(field, {})[entry.get(1, b"").decode()] = _value(entry.get(2, b""), kind[2:])
        elif kind != "s" or value:
            result[field] = value if raw and kind == "y" else _value(value, kind)
    return result


def _value(value: Any, kind: str) -> Any:
    if kind == "s":
        return value.decode()
    if kind == "i":
        return value - (1 << 64) if value >> 63 else value
    if kind == "b":
        return bool(value)
    if kind == "y":
        return base64.b64encode(value).decode()
    found = _message(value, kind)
    if kind == "IntOrString":
        return found.get("strVal", "") if found.get("type") else found.get("intVal", 0)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, place = _varint(data, place)
            if place + size > len(data):
                raise IndexError("a field is longer than the body")
            yield tag >> 3, data[place : place + size]
            place += size
        else:
            raise KeyError(f"wire type {tag & 7}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
        shift += 7
