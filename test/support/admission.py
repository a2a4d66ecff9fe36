"""What an API server would say to a Workspace, worked out in this process from the generated files.

Schema (jsonschema), CRD rules and admission policy (cel-python), in the server's order, with its pruning, defaulting and ratcheting
as far as the generated files use them. It exists so that thousands of objects can be compared with the Python rules in seconds;
the end-to-end tests ask real servers.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celpy
import jsonschema
import yaml
from celpy import celtypes

Object = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]


def _index_of(value: Any, part: Any) -> celtypes.IntType:
    """Of a part of a text, or of an entry of a list; -1 when it is not there."""
    if isinstance(value, list):
        return celtypes.IntType(value.index(part) if part in value else -1)
    return celtypes.IntType(str(value).find(str(part)))


class Cel:
    """Compiled expressions, and the results of CRD rules by input: generated objects share most of their parts."""

    def __init__(self) -> None:
        self._environment = celpy.Environment()
        self._programs: dict[str, Any] = {}
        self._results: dict[tuple[str, str], Any] = {}

    def remembered(self, expression: str, inputs: Object) -> Any:
        """The value for plain JSON inputs; a CEL error raises."""
        key = (expression, json.dumps(inputs, sort_keys=True))
        if key not in self._results:
            self._results[key] = self.run(
                expression, {name: celpy.json_to_cel(value) for name, value in inputs.items()}
            )
        return self._results[key]

    def run(self, expression: str, inputs: Object) -> Any:
        """The value for inputs that are CEL values already; a CEL error raises."""
        if expression not in self._programs:
            functions = {
                "hasValue": lambda old: celtypes.BoolType(bool(old)),
                "lowerAscii": lambda text: celtypes.StringType(str(text).lower()),
                "substring": lambda value, start, end=None: celtypes.StringType(str(value)[start:end]),
                "indexOf": _index_of,
                "replace": lambda value, old, new: celtypes.StringType(str(value).replace(str(old), str(new))),
            }
            tree = self._environment.compile(expression)
            self._programs[expression] = self._environment.program(tree, functions=functions)
        return self._programs[expression].evaluate(inputs)


_REFERENCE = re.compile(r"\b(object|oldObject|request|variables)((?:\.\w+)*)")


def _read_by(expression: str, inputs: Object) -> str:
    """What an expression of the policy reads, as a key: the values at all paths that it names."""
    found = {}
    for root, path in _REFERENCE.findall(expression):
        value = inputs[root]
        for part in path.split(".")[1:]:
            if not isinstance(value, dict) or part not in value:
                break
            value = value[part]
        found[root + path] = value
    return json.dumps(found, sort_keys=True)


class ApiServer:
    """The generated CRD and policy, ready to be asked."""

    def __init__(self) -> None:
        crd = _load("config/crd/kaito.sh_workspaces.yaml")
        self.schema: Object = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        self._schema_check = jsonschema.Draft202012Validator(self.schema)
        policy = _load("config/admission/policy.yaml")["spec"]
        self._conditions = [c["expression"] for c in policy["matchConditions"]]
        self._variables = [(v["name"], v["expression"]) for v in policy["variables"]]
        self._validations = policy["validations"]
        self._parameter = celpy.json_to_cel({"data": _load("config/admission/catalogue.yaml")["data"]})
        self._policy_values: dict[tuple[str, str], Any] = {}
        self.cel = Cel()

    def admit(self, new: Object, old: Object | None = None) -> tuple[Object, list[str]]:
        """The object as it would be stored, and every reason to refuse it."""
        stored = prepared(self.schema, new)
        errors = [f"{'.'.join(map(str, e.path))}: {e.message}" for e in self._schema_check.iter_errors(stored)]
        if not errors:
            errors = list(self._crd_rules(self.schema, stored, old, "", correlated=True))
        if not errors:
            errors = list(self._policy(stored, old))
        return stored, errors

    def breaks_schema(self, obj: Object) -> bool:
        """Whether the schema alone refuses the object."""
        return not self._schema_check.is_valid(obj)

    def _crd_rules(self, node: Object, value: Any, old: Any, path: str, *, correlated: bool) -> Iterator[str]:
        """Rules of this node and below. Unchanged parts are left alone; list items have no old value of their own."""
        is_update = old is not None
        if is_update and value == old and path:
            return
        for rule in node.get("x-kubernetes-validations", ()):
            yield from self._crd_rule(rule, value, old if correlated else None, path)
        if isinstance(value, dict):
            for name, child in node.get("properties", {}).items():
                if name in value:
                    before = old.get(name) if isinstance(old, dict) else None
                    yield from self._crd_rules(
                        child, value[name], before, f"{path}.{name}".lstrip("."), correlated=correlated
                    )
        if isinstance(value, list) and isinstance(node.get("items"), dict):
            for index, item in enumerate(value):
                yield from self._crd_rules(node["items"], item, None, f"{path}[{index}]", correlated=False)

    def _crd_rule(self, rule: Object, value: Any, old: Any, path: str) -> Iterator[str]:
        inputs = {"self": value}
        if rule.get("optionalOldSelf"):
            inputs["oldSelf"] = old is not None
        elif "oldSelf" in rule["rule"]:
            if old is None:
                return
            inputs["oldSelf"] = old
        if not self.cel.remembered(rule["rule"], inputs):
            message = (
                self.cel.remembered(rule["messageExpression"], inputs)
                if "messageExpression" in rule
                else rule["message"]
            )
            yield f"{path}{rule.get('fieldPath', '')}: {message}"

    def _policy(self, new: Object, old: Object | None) -> Iterator[str]:
        request = {"operation": "CREATE" if old is None else "UPDATE"}
        inputs: Object = {"object": new, "oldObject": old, "request": request, "variables": {}}
        if not all(self._policy_value(condition, inputs) for condition in self._conditions):
            return
        for name, expression in self._variables:
            inputs["variables"][name] = self._policy_value(expression, inputs)
        for validation in self._validations:
            if not self._policy_value(validation["expression"], inputs):
                yield str(self._policy_value(validation["messageExpression"], inputs))

    def _policy_value(self, expression: str, inputs: Object) -> Any:
        """The scalar, or the list of scalars, that an expression of the policy gives."""
        key = (expression, _read_by(expression, inputs))
        if key not in self._policy_values:
            converted = {name: celpy.json_to_cel(value) for name, value in inputs.items()}
            result = self.cel.run(expression, {**converted, "params": self._parameter})
            self._policy_values[key] = _plain(result)
        return self._policy_values[key]


def prepared(schema: Object, obj: Object) -> Object:
    """A copy as the server would store it: unknown fields pruned, nulls dropped, defaults filled in."""
    result = copy.deepcopy(obj)
    _prepare(schema, result, top=True)
    return result


def _prepare(node: Object, value: Any, *, top: bool = False) -> None:
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        for item in value:
            _prepare(node["items"], item)
    if not isinstance(value, dict):
        return
    fields = node.get("properties", {})
    if fields and not node.get("x-kubernetes-preserve-unknown-fields"):
        for name in [name for name in value if name not in fields]:
            del value[name]
    for name, child in fields.items():
        if value.get(name, 0) is None:
            del value[name]
        if name not in value and "default" in child:
            value[name] = copy.deepcopy(child["default"])
        if name in value and not (top and name == "metadata"):
            _prepare(child, value[name])


def _plain(value: Any) -> Any:
    """A CEL scalar, or a list of them, as JSON."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, celtypes.BoolType):
        return bool(value)
    return int(value) if isinstance(value, celtypes.IntType) else str(value)


def _load(path: str) -> Object:
    result: Object = yaml.load((ROOT / path).read_text("utf-8"), Loader=yaml.CSafeLoader)
    return result
