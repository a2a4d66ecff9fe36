"""The system's part of object metadata: names, identity, generation, deletion marks, and the checks on what users may write.

Pure functions over one object (or an old and a new one). They raise StatusErrors with the texts of `apimachinery/pkg/api/validation`.
"""

from __future__ import annotations

import datetime
import functools
import random
import re
import time
import uuid
from typing import Any

from hack.localcluster.apiserver.errors import Cause, UndecodableError, bad_request, conflict, invalid
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.schema import METADATA, builtin_schema
from hack.localcluster.apiserver.validation import kind_of, validate

_RANDOM = random.SystemRandom()
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_QUALIFIED_NAME = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_LABEL_NAMED = {"services", "namespaces"}
_PATH_NAMED = {"roles", "clusterroles", "rolebindings", "clusterrolebindings"}
SYSTEM_FIELDS = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_PART_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def now_text() -> str:
    """The time as metav1.Time writes it: RFC 3339, UTC, whole seconds."""
    return time_text(int(time.time()))


@functools.lru_cache(maxsize=16)
def time_text(unix_s: int) -> str:
    """A moment in that form."""
    return datetime.datetime.fromtimestamp(unix_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def check_body(kind: ResourceType, obj: Any, namespace: str, name: str) -> Object:
    """A request body that fits its URL, with apiVersion, kind and namespace filled in; 400 otherwise."""
    if not isinstance(obj, dict):
        raise UndecodableError(kind, f"json: cannot unmarshal {kind_of(obj)} into Go value")
    _check_kind(kind, obj, name)
    metadata = obj.get("metadata")
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict):
        raise UndecodableError(kind, f"json: cannot unmarshal {kind_of(metadata)} into Go struct field .metadata")
    metadata = _decoded(kind, metadata)
    rest = {field: value for field, value in obj.items() if field not in ("apiVersion", "kind", "metadata")}
    whole: Object = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **rest}
    metadata = whole["metadata"]
    if kind.namespaced:
        if metadata.get("namespace") not in (None, "", namespace):
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    given = metadata.get("name")
    if name and not given:
        raise bad_request(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if name and given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    return whole


def _check_kind(kind: ResourceType, obj: Object, name: str) -> None:
    _check_texts(kind, obj)
    api_version, found_kind = obj.get("apiVersion"), obj.get("kind")
    if kind.custom and not (api_version and found_kind):
        raise bad_request(f"Object '{'Kind' if api_version else 'apiVersion'}' is missing in the body of the request")
    if api_version not in (None, "", kind.api_version):
        text = (
            f"the API version in the data ({api_version}) does not match the expected API version ({kind.api_version})"
        )
        raise bad_request(text)
    if found_kind not in (None, "", kind.kind):
        if kind.custom:
            text = f'Invalid value: "{found_kind}": must be {kind.kind}'
            raise invalid(kind, name or str((obj.get("metadata") or {}).get("name", "")), [Cause("kind", text)])
        raise UndecodableError(kind, f"it is a {found_kind}")


def _check_texts(kind: ResourceType, obj: Object) -> None:
    for field in ("apiVersion", "kind"):
        value = obj.get(field)
        if value is not None and not isinstance(value, str):
            raise UndecodableError(kind, f"json: cannot unmarshal {kind_of(value)} into Go struct field .{field}")


def with_name(body: Any, name: str) -> Any:
    """What is applied may leave the name to its URL."""
    if not isinstance(body, dict) or not isinstance(body.get("metadata", {}), dict):
        return body
    return body | {"metadata": {"name": name} | body.get("metadata", {})}


def check_known(body: Any) -> None:
    """What is applied may have known fields only, whatever fieldValidation says."""
    metadata = body.get("metadata") if isinstance(body, dict) else None
    unknown = [
        field
        for field in (metadata if isinstance(metadata, dict) else ())
        if field not in builtin_schema(METADATA).fields
    ]
    if unknown:
        raise bad_request(f"failed to create typed patch object: .metadata.{unknown[0]}: field not declared in schema")


def _decoded(kind: ResourceType, metadata: Object) -> Object:
    """A copy as Go's ObjectMeta holds it: nulls are zero values; what is of another type does not decode."""
    held: Object = {}
    for field, value in metadata.items():
        schema = builtin_schema(METADATA).fields.get(field)
        if value is None:
            continue
        if isinstance(value, dict) and field in ("labels", "annotations"):
            value = {key: "" if text is None else text for key, text in value.items()}
        elif isinstance(value, list):
            value = [("" if field == "finalizers" else {}) if item is None else item for item in value]
        wrong = None if schema is None else next(filter(_is_of_another_type, validate(value, schema, path=field)), None)
        if wrong is not None:
            raise UndecodableError(
                kind, f"json: cannot unmarshal into ObjectMeta.metadata.{wrong.field}: {wrong.message}"
            )
        held[field] = value
    return held


def _is_of_another_type(cause: Cause) -> bool:
    return cause.reason == "FieldValueTypeInvalid" or "must be of type" in cause.message


def prepare_create(kind: ResourceType, obj: Object) -> None:
    """Give a new object its identity, in place."""
    metadata = obj["metadata"]
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for field in (*SYSTEM_FIELDS, "resourceVersion"):
        metadata.pop(field, None)
    if not metadata.get("name"):
        if not metadata.get("generateName"):
            raise invalid(
                kind,
                "",
                [Cause("metadata.name", "Required value: name or generateName is required", "FieldValueRequired")],
            )
        metadata["name"] = metadata["generateName"][:58] + "".join(_RANDOM.choices(_SUFFIX, k=5))
    metadata["uid"] = str(uuid.UUID(bytes=_RANDOM.randbytes(16), version=4))
    metadata["creationTimestamp"] = now_text()
    if kind.counts_generation or kind.custom:
        metadata["generation"] = 1
    check_metadata(kind, obj)


def prepare_update(kind: ResourceType, old: Object, new: Object, name: str, *, is_put: bool, subresource: str) -> None:
    """Check preconditions carried by the object, and put back what only the system may write; in place.

    A foreign UID is a conflict in a PUT and invalid in a patch; a patch of a custom type's status does not look at it.
    """
    was, metadata = old["metadata"], new["metadata"]
    is_foreign = bool(metadata.get("uid")) and metadata["uid"] != was["uid"]
    if is_foreign and is_put:
        text = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {was['uid']}"
        raise conflict(kind, name, text)
    version = metadata.get("resourceVersion")
    if version and version != was["resourceVersion"]:
        raise conflict(kind, name)
    if is_foreign and not (kind.custom and subresource == "status"):
        raise invalid(kind, name, [Cause("metadata.uid", f'Invalid value: "{metadata["uid"]}": field is immutable')])
    for field in SYSTEM_FIELDS:
        if field in was:
            metadata[field] = was[field]
        else:
            metadata.pop(field, None)
    metadata["resourceVersion"] = was["resourceVersion"]
    if "managedFields" in was:
        metadata.setdefault("managedFields", was["managedFields"])
    if "deletionTimestamp" in was:
        _forbid_new_finalizers(kind, was, metadata, name)
    for field in ("labels", "annotations", "finalizers", "ownerReferences"):
        if field in metadata and not metadata[field]:
            del metadata[field]


def _forbid_new_finalizers(kind: ResourceType, was: Object, metadata: Object, name: str) -> None:
    added = sorted(set(metadata.get("finalizers") or []) - set(was.get("finalizers") or []))
    if added:
        listed = "[]string{" + ", ".join(f'"{finalizer}"' for finalizer in added) + "}"
        text = (
            f"Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {listed}"
        )
        raise invalid(kind, name, [Cause("metadata.finalizers", text, "FieldValueForbidden")])


def check_metadata(kind: ResourceType, obj: Object) -> None:
    """422 for names, labels, annotations, finalizers and owner references that Kubernetes would refuse."""
    metadata = obj["metadata"]
    name = metadata["name"]
    causes = [*_name_causes(kind, name), *_label_causes(metadata.get("labels") or {}, "metadata.labels")]
    annotations = metadata.get("annotations") or {}
    if annotations:
        causes += [
            _string_cause(f"metadata.annotations.{key}", value)
            for key, value in annotations.items()
            if not _is_text(value)
        ]
        if not causes and sum(len(key) + len(value) for key, value in annotations.items()) > 262144:
            causes.append(
                Cause("metadata.annotations", "Too long: may not be more than 262144 bytes", "FieldValueTooLong")
            )
    owners = metadata.get("ownerReferences") or []
    for index, owner in enumerate(owners):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                text = (
                    f"Required value: {field} must not be empty"
                    if field != "uid"
                    else "Required value: must not be empty"
                )
                causes.append(Cause(f"metadata.ownerReferences[{index}].{field}", text, "FieldValueRequired"))
    if sum(1 for owner in owners if owner.get("controller")) > 1:
        text = "Invalid value: Only one reference can have Controller set to true"
        causes.append(Cause("metadata.ownerReferences", text))
    for finalizer in metadata.get("finalizers") or []:
        if not _is_text(finalizer) or not _qualified(finalizer):
            causes.append(Cause("metadata.finalizers", f'Invalid value: "{finalizer}": {_NAME_PART_TEXT}'))
    if causes:
        raise invalid(kind, name, causes)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _string_cause(field: str, value: Any) -> Cause:
    return Cause(field, f"Invalid value: {value!r}: must be a string", "FieldValueTypeInvalid")


def _name_causes(kind: ResourceType, name: Any) -> list[Cause]:
    if not _is_text(name):
        return [_string_cause("metadata.name", name)]
    if kind.group == "rbac.authorization.k8s.io" and kind.plural in _PATH_NAMED:
        return (
            []
            if name not in (".", "..") and not set(name) & set("/%")
            else [Cause("metadata.name", f'Invalid value: "{name}"')]
        )
    limit, pattern, text = (
        (63, _DNS_LABEL, _DNS_LABEL_TEXT) if kind.plural in _LABEL_NAMED else (253, _SUBDOMAIN, _SUBDOMAIN_TEXT)
    )
    if len(name) > limit:
        return [Cause("metadata.name", f'Invalid value: "{name}": must be no more than {limit} characters')]
    return [] if pattern.match(name) else [Cause("metadata.name", f'Invalid value: "{name}": {text}')]


def _label_causes(labels: Any, where: str) -> list[Cause]:
    causes = []
    for key, value in labels.items():
        if not _qualified(key):
            causes.append(Cause(where, f'Invalid value: "{key}": {_NAME_PART_TEXT}'))
        if not _is_text(value):
            causes.append(_string_cause(f"{where}.{key}", value))
        elif len(value) > 63:
            causes.append(Cause(where, f'Invalid value: "{value}": must be no more than 63 characters'))
        elif not _LABEL_VALUE.match(value):
            causes.append(Cause(where, f'Invalid value: "{value}": {_LABEL_VALUE_TEXT}'))
    return causes


def _qualified(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.match(prefix)):
        return False
    return len(name) <= 63 and bool(_QUALIFIED_NAME.match(name))


def bump_generation(kind: ResourceType, old: Object, new: Object) -> None:
    """Count a change of the desired state: the spec of built-ins, everything but metadata (and a split-off status) of custom types."""
    if not (kind.counts_generation or kind.custom):
        return
    if kind.custom:
        ignored = {"metadata", "apiVersion", "status"} if "status" in kind.subresources else {"metadata", "apiVersion"}
        changed = _without(old, ignored) != _without(new, ignored)
    else:
        changed = _without(old, {"metadata", "status"}) != _without(new, {"metadata", "status"})
    if changed:
        new["metadata"]["generation"] = int(old["metadata"].get("generation", 0)) + 1


def _without(obj: Object, ignored: set[str]) -> Object:
    return {field: value for field, value in obj.items() if field not in ignored}


def mark_deleted(metadata: Object, grace_s: int) -> None:
    """Set the deletion marks, in place."""
    metadata["deletionTimestamp"] = time_text(int(time.time() + grace_s))
    metadata["deletionGracePeriodSeconds"] = grace_s
    if metadata.get("generation"):
        metadata["generation"] += 1
