"""Lists: consistency by resourceVersion, selectors, and pages that all show the same moment."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from hack.localcluster.apiserver.errors import StatusError, bad_request, expired, too_large_resource_version
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.selectors import Predicate, both, field_selector, label_selector
from hack.localcluster.apiserver.store import Entry, Store

_INTEGER = re.compile(r"[+-]?\d{1,30}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Listing:
    """The result of a list: entries and the list's metadata."""

    entries: list[Entry]
    metadata: Object


def selection(kind: ResourceType, query: Mapping[str, str], name: str = "") -> Predicate | None:
    """The selectors of a request as one predicate over served objects; `name` narrows a watch of one object."""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    chosen = both(
        label_selector(labels) if labels else None,
        field_selector(fields, kind) if fields else None,
    )
    return both(chosen, lambda obj: bool(obj["metadata"]["name"] == name)) if name else chosen


def resource_version(query: Mapping[str, str]) -> int | None:
    """The asked resourceVersion, None if there is none; 400 if it is no number."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) >= 2**64:
        raise bad_request(f"Invalid value: {text!r}: resourceVersion must be a number")
    return int(text)


def whole_number(query: Mapping[str, str], name: str) -> int:
    """A number in a query, 0 when it is not there; 400 for what is no whole number of 64 bits."""
    text = query.get(name, "0")
    if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def list_objects(store: Store, kind: ResourceType, namespace: str, query: Mapping[str, str]) -> Listing:
    """List as of now, or as of the resourceVersion or continue token in the query. Freshness has been waited for by the caller."""
    chosen = selection(kind, query)
    limit = max(0, whole_number(query, "limit"))
    whole_number(query, "timeoutSeconds")
    if "sendInitialEvents" in query:
        raise invalid_options("sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list")
    match = _check_match(query)
    rv = resource_version(query)
    token = query.get("continue", "")
    if token:
        if rv:
            raise bad_request("specifying resource version is not allowed when using continue")
        rv, start = _decode(token)
        entries = _at(store, kind, namespace, rv, token)
        entries = [entry for entry in entries if _key(entry) > start]
    elif rv and (match == "Exact" or (limit and not match)):
        if rv > store.rv:
            raise too_large_resource_version(rv, store.rv)
        entries = _at(store, kind, namespace, rv)
    else:
        rv = store.rv
        entries = store.collection(kind.storage).select(namespace if kind.namespaced else "")
    if chosen:
        entries = [entry for entry in entries if chosen(kind.served_form(entry.obj))]
    metadata: Object = {"resourceVersion": str(rv)}
    if limit and len(entries) > limit:
        metadata["continue"] = _encode(rv, _key(entries[limit - 1]))
        if not chosen:
            metadata["remainingItemCount"] = len(entries) - limit
        entries = entries[:limit]
    return Listing(entries, metadata)


def _check_match(query: Mapping[str, str]) -> str:
    match, rv = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    if not match:
        return ""
    why = ""
    if query.get("continue"):
        why = "resourceVersionMatch is forbidden when continue is provided"
    elif not rv:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match == "Exact" and rv == "0":
        why = 'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
    elif match not in ("Exact", "NotOlderThan"):
        why = f'unsupported value "{match}": supported values: "Exact", "NotOlderThan"'
    if why:
        raise invalid_options(f"resourceVersionMatch: Forbidden: {why}")
    return match


def invalid_options(text: str) -> StatusError:
    """422 for list and watch options."""
    details = {"group": "meta.k8s.io", "kind": "ListOptions"}
    return StatusError(422, f'ListOptions.meta.k8s.io "" is invalid: {text}', details=details)


def _at(store: Store, kind: ResourceType, namespace: str, rv: int, token: str = "") -> list[Entry]:
    try:
        entries = store.collection(kind.storage).at(rv)
    except StatusError as error:
        if not token:
            raise
        text = (
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
            "continue parameter."
        )
        raise expired(text) from error
    wanted = namespace if kind.namespaced else ""
    return [entries[key] for key in sorted(entries) if not wanted or key[0] == wanted]


def _key(entry: Entry) -> tuple[str, str]:
    metadata = entry.obj["metadata"]
    return (metadata.get("namespace", ""), metadata["name"])


def _encode(rv: int, start: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"rv": rv, "start": start})).decode().rstrip("=")


def _decode(token: str) -> tuple[int, tuple[str, str]]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(found["rv"]), (str(found["start"][0]), str(found["start"][1]))
    except (binascii.Error, ValueError, KeyError, TypeError, IndexError) as error:
        raise bad_request("continue key is not valid") from error
