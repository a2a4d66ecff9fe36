"""`x-kubernetes-validations`: CEL rules of a CRD schema, evaluated where the value changed, transition rules against the old value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hack.localcluster.apiserver.cel import fields_of, program, to_cel
from hack.localcluster.apiserver.cel_values import CelError, Optional
from hack.localcluster.apiserver.errors import Cause
from hack.localcluster.apiserver.objects import Object
from hack.localcluster.apiserver.schema import Schema
from hack.localcluster.apiserver.validation import MISSING, correlated, quoted

_TEXTS = {
    "FieldValueInvalid": "Invalid value: {shown}{message}",
    "FieldValueForbidden": "Forbidden: {message}",
    "FieldValueRequired": "Required value: {message}",
    "FieldValueDuplicate": "Duplicate value: {value}",
}


def has_rules(node: Any) -> bool:
    """Whether a schema contains any rule."""
    if isinstance(node, list):
        return any(has_rules(item) for item in node)
    return isinstance(node, dict) and (
        "x-kubernetes-validations" in node or any(has_rules(child) for child in node.values())
    )


def check_rules(value: Any, schema: Schema, *, old: Any = MISSING, path: str = "") -> Iterator[Cause]:
    """The causes of broken rules in a value that already fits its schema."""
    if value is None or (old is not MISSING and value == old):
        return
    for rule in schema.node.get("x-kubernetes-validations") or ():
        yield from _check(rule, value, schema, old, path)
    if isinstance(value, dict):
        for name, entry in value.items():
            child = schema.field(name)
            if child is not None and has_rules(child.node):
                was = old.get(name, MISSING) if isinstance(old, dict) else MISSING
                where = f"{path}.{name}" if name in schema.fields and path else name if not path else f"{path}[{name}]"
                yield from check_rules(entry, child, old=was, path=where)
    elif isinstance(value, list):
        items, before = schema.items(), correlated(old, schema)
        if items is not None and has_rules(items.node):
            for index, item in enumerate(value):
                yield from check_rules(item, items, old=before(item), path=f"{path}[{index}]")


def _check(rule: Object, value: Any, schema: Schema, old: Any, path: str) -> Iterator[Cause]:
    text = rule["rule"]
    is_transition = "oldSelf" in text
    if is_transition and old is MISSING and not rule.get("optionalOldSelf"):
        return
    bindings = {"self": _self(value, schema, path)}
    if is_transition:
        was = None if old is MISSING else _self(old, schema, path)
        bindings["oldSelf"] = Optional(was) if rule.get("optionalOldSelf") else was
    try:
        if program(text)(bindings):
            return
        message = _message(rule, bindings)
    except CelError as error:
        message = f"rule evaluation error: {error}: {text}"
    reason = rule.get("reason", "FieldValueInvalid")
    shown = "" if isinstance(value, dict | list) else f"{quoted(value)}: "  # up to 1.34 it was the name of the type
    yield Cause(path + rule.get("fieldPath", "") if path else rule.get("fieldPath", "").lstrip(".") or "<nil>",
                _TEXTS[reason].format(shown=shown, value=quoted(value), message=message), reason)  # fmt: skip


def _message(rule: Object, bindings: dict[str, Any]) -> str:
    fallback = str(rule.get("message") or f"failed rule: {rule['rule']}").strip()
    if not rule.get("messageExpression"):
        return fallback
    try:
        message = str(program(rule["messageExpression"])(bindings))
    except CelError:
        return fallback
    return message if message.strip() and "\n" not in message else fallback


def _self(value: Any, schema: Schema, path: str) -> Any:
    if not path and isinstance(value, dict):
        root = {name: entry for name, entry in value.items() if name != "metadata"}
        return to_cel(root | {"metadata": fields_of(value)}, schema)
    return to_cel(value, schema)
