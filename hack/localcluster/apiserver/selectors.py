"""Label and field selectors of list and watch requests, as predicates over stored objects."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hack.localcluster.apiserver.errors import bad_request
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.registry import ResourceType

Predicate = Callable[[Object], bool]
_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s*\(([^()]*)\)$")
_EQUALITY = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*({_VALUE})$")
_EXISTS = re.compile(rf"^(!?)\s*({_KEY})$")
_TERM = re.compile(r",(?![^()]*\))")


def label_selector(text: str) -> Predicate | None:
    """The predicate of a labelSelector; None when it selects everything."""
    terms = [_label_term(term.strip()) for term in _TERM.split(text) if term.strip()]
    if not terms:
        return None
    return lambda obj: all(term((obj.get("metadata") or {}).get("labels") or {}) for term in terms)


def _label_term(term: str) -> Callable[[dict[str, str]], bool]:
    if found := _SET.match(term):
        key, operator, values = found[1], found[2], {value.strip() for value in found[3].split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.match(term):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.match(term):
        key = found[2]
        return (lambda labels: key not in labels) if found[1] else (lambda labels: key in labels)
    raise bad_request(f"unable to parse requirement: {term!r} is not a label selector requirement")


def matches_label_selector(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether labels fit a LabelSelector object; an empty one fits all, a missing one nothing."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression_matches(entry, labels) for entry in selector.get("matchExpressions") or [])


def _expression_matches(entry: dict[str, Any], labels: dict[str, str]) -> bool:
    key, values = entry["key"], entry.get("values") or []
    operators: dict[str, bool] = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return operators.get(entry["operator"], False)


def field_selector(text: str, kind: ResourceType) -> Predicate | None:
    """The predicate of a fieldSelector; None when it selects everything. 400 for fields that the type does not index."""
    terms = [_field_term(term.strip(), kind) for term in text.split(",") if term.strip()]
    if not terms:
        return None
    return lambda obj: all(term(obj) for term in terms)


def _field_term(term: str, kind: ResourceType) -> Predicate:
    found = re.match(r"^([^=!]+)(==|=|!=)(.*)$", term)
    if not found:
        raise bad_request(f"invalid selector: {term!r}; can't understand {term!r}")
    path, operator, wanted = found[1].strip(), found[2], found[3].strip()
    if path not in ("metadata.name", "metadata.namespace", *kind.field_labels):
        raise bad_request(f"field label not supported: {path}")
    parts = path.split(".")
    differs = operator == "!="
    return lambda obj: (_text_at(obj, parts) == wanted) != differs


def _text_at(obj: Object, parts: list[str]) -> str:
    value: Any = obj
    for part in parts:
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return "false" if parts[-1] == "unschedulable" else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def both(first: Predicate | None, second: Predicate | None) -> Predicate | None:
    """The conjunction of two optional predicates."""
    if first and second:
        return lambda obj: first(obj) and second(obj)
    return first or second
