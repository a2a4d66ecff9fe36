"""CustomResourceDefinitions: which types they add to what is served, and what is checked on their objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hack.localcluster.apiserver.cel import program
from hack.localcluster.apiserver.cel_values import CelError
from hack.localcluster.apiserver.errors import Cause, bad_request, invalid
from hack.localcluster.apiserver.metadata import now_text
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.registry import Registry, ResourceType, ScalePaths
from hack.localcluster.apiserver.rules import check_rules, has_rules
from hack.localcluster.apiserver.schema import RootSchema, Schema
from hack.localcluster.apiserver.store import Store, StoredChange
from hack.localcluster.apiserver.validation import MISSING, apply_defaults, prune, quoted, report_unknown, validate

_BOOLEANS = ("exclusiveMaximum", "exclusiveMinimum", "nullable", "uniqueItems")
_BLOCKING = frozenset(f"FieldValue{what}" for what in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
_UNCHECKED = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"


class CustomBehaviour:
    """What one version of a CRD does to its objects."""

    def __init__(self, version: Object) -> None:
        self.version = version
        self.schema = Schema((version.get("schema") or {}).get("openAPIV3Schema") or {})
        self.root = RootSchema(self.schema.node)
        self.has_rules = has_rules(self.schema.node)

    def prepare(self, kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
        """Prune and default in place, then validate; 400 for unknown fields when the caller is strict, 422 for wrong ones."""
        before = MISSING if old is None else old
        if subresource == "status":
            self._prepare_status(old, new)
        else:
            report_unknown(kind, prune(new, self.schema, root=True, old=before), write)
            apply_defaults(new, self.schema)
        causes = list(validate(new, self.schema, old=before))
        blocked = any(cause.reason in _BLOCKING for cause in causes)
        if self.has_rules and blocked:
            causes.append(Cause("<nil>", f"Invalid value: null: {_UNCHECKED}"))
        elif self.has_rules:
            causes += check_rules(new, self.schema, old=before)
        if causes:
            raise invalid(kind, new["metadata"].get("name", ""), causes)

    def _prepare_status(self, old: Object | None, new: Object) -> None:
        child = self.schema.field("status")
        if child is None:
            new.pop("status", None)
        elif "status" in new:
            list(prune(new["status"], child, path="status"))
            apply_defaults(new["status"], child)


class CustomTypes:
    """Keeps the registry in step with the CRD objects."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self.registry = registry
        self.store = store

    def prepare_definition(self, kind: ResourceType, old: Object | None, new: Object) -> None:
        """Accept a CRD (422 if it is none): fill in names and the conditions that the real server's controllers would set."""
        _check_decodable(new)
        causes = [*_definition_causes(new), *_dropped_versions(new)]
        if causes:
            raise invalid(kind, new["metadata"].get("name", ""), causes)
        names = new["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
        new["spec"].setdefault("conversion", {"strategy": "None"})
        stored = [version["name"] for version in new["spec"]["versions"] if version.get("storage")]
        status = new.setdefault("status", {})
        status["acceptedNames"] = names
        status["storedVersions"] = sorted({*(status.get("storedVersions") or []), *stored})
        if not status.get("conditions"):
            status["conditions"] = [
                _condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                _condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ]

    def on_definition_change(self, change: StoredChange) -> None:
        """Serve what the CRDs say now."""
        if change.previous is not None:
            for kind in self._types(change.previous.obj):
                self.registry.remove(kind)
        if change.event != "DELETED":
            for kind in self._types(change.entry.obj):
                self.registry.add(kind)

    def load(self) -> None:
        """Serve every CRD in the store (after a restore)."""
        for kind in self.registry:
            if kind.custom:
                self.registry.remove(kind)
        for entry in self.store.collection(("apiextensions.k8s.io", "customresourcedefinitions")).select(""):
            for kind in self._types(entry.obj):
                self.registry.add(kind)

    def _types(self, definition: Object) -> list[ResourceType]:
        spec = definition["spec"]
        storage = next(version["name"] for version in spec["versions"] if version.get("storage"))
        mixed = (definition.get("status") or {}).get("storedVersions", [storage]) != [storage]
        return [_type(spec, version, storage, mixed=mixed) for version in spec["versions"] if version.get("served")]


def _type(spec: Object, version: Object, storage_version: str, *, mixed: bool) -> ResourceType:
    names = spec["names"]
    return ResourceType(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=frozenset(version.get("subresources") or {}),
        storage_version=storage_version,
        mixed=mixed,
        custom=CustomBehaviour(version),
        schema=(version.get("schema") or {}).get("openAPIV3Schema") or {},
        field_labels=tuple(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()),
        scale=_scale_paths((version.get("subresources") or {}).get("scale")),
    )


def _scale_paths(scale: Object | None) -> ScalePaths | None:
    if not scale:
        return None
    return ScalePaths(scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath") or "")


def _condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    moment = now_text()
    return {"type": kind, "status": "True", "lastTransitionTime": moment, "reason": reason, "message": message}


def _check_decodable(definition: Object) -> None:
    """400 for a schema that Go's JSONSchemaProps cannot hold: JSON Schema's newer drafts have numbers where it has booleans."""
    for version in definition["spec"].get("versions") or []:
        wrong = _first_number((version.get("schema") or {}).get("openAPIV3Schema") or {}, "openAPIV3Schema")
        if wrong:
            head = 'CustomResourceDefinition in version "v1" cannot be handled as a CustomResourceDefinition'
            field = f"JSONSchemaProps.spec.versions.schema.{wrong}"
            raise bad_request(f"{head}: json: cannot unmarshal number into Go struct field {field} of type bool")


def _first_number(node: Object, where: str) -> str:
    """Path of the first number in a field that holds a boolean; names of properties are no part of it, as in Go's message."""
    for field in _BOOLEANS:
        if isinstance(node.get(field), int | float) and not isinstance(node[field], bool):
            return f"{where}.{field}"
    children = [("properties", child) for child in (node.get("properties") or {}).values()]
    children += [(key, node[key]) for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]
    return next(filter(None, (_first_number(child, f"{where}.{key}") for key, child in children)), "")


def _definition_causes(definition: Object) -> Iterator[Cause]:
    spec, name = definition["spec"], definition["metadata"].get("name", "")
    versions = spec.get("versions") or []
    if name != f"{spec['names']['plural']}.{spec['group']}":
        yield Cause("metadata.name", f'Invalid value: "{name}": must be spec.names.plural+"."+spec.group')
    if sum(1 for version in versions if version.get("storage")) != 1:
        yield Cause("spec.versions", "Invalid value: must have exactly one version marked as storage version")
    if (spec.get("conversion") or {}).get("strategy", "None") != "None":
        yield Cause(
            "spec.conversion.strategy", 'Unsupported value: "Webhook": localcluster converts with strategy None only'
        )
    for index, version in enumerate(versions):
        where = f"spec.versions[{index}].schema.openAPIV3Schema"
        root = (version.get("schema") or {}).get("openAPIV3Schema")
        if not root:
            yield Cause(where, "Required value: schemas are required", "FieldValueRequired")
        else:
            yield from _schema_causes(root, where)
        shared = (
            "spec" if len(versions) == 1 else f"spec.versions[{index}]"
        )  # the server's own form of a single version
        yield from _scale_causes((version.get("subresources") or {}).get("scale"), shared)


def _scale_causes(scale: Object | None, where: str) -> Iterator[Cause]:
    """Paths of a scale subresource lie under spec and status, as on a real server; that is why `resource.count` cannot be one."""
    roots = {
        "specReplicasPath": (".spec.", ".spec"),
        "statusReplicasPath": (".status.", ".status"),
        "labelSelectorPath": ((".status.", ".spec."), "either .spec or .status"),
    }
    for field, (root, told) in roots.items() if scale else ():
        path, at = (scale or {}).get(field) or "", f"{where}.subresources.scale.{field}"
        if not path and field != "labelSelectorPath":
            yield Cause(at, "Required value", "FieldValueRequired")
        elif path and not path.startswith(root):
            yield Cause(at, f"Invalid value: {quoted(path)}: should be a json path under {told}")


def _dropped_versions(definition: Object) -> Iterator[Cause]:
    """Versions in which objects may still be kept, and that the definition does not have any more."""
    names = {version.get("name") for version in definition["spec"].get("versions") or []}
    for index, stored in enumerate((definition.get("status") or {}).get("storedVersions") or []):
        if stored not in names:
            text = (
                f'Invalid value: "{stored}": missing from spec.versions; {stored} was previously a storage version, and must remain in '
                f"spec.versions until a storage migration ensures no data remains persisted in {stored} and removes {stored} from "
                "status.storedVersions"
            )
            yield Cause(f"status.storedVersions[{index}]", text)


def _schema_causes(node: Any, where: str) -> Iterator[Cause]:
    """What makes a schema not structural, and rules that do not compile."""
    typed = (
        node.get("type") or node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    )
    if not typed:
        yield Cause(
            f"{where}.type", "Required value: must not be empty for specified object fields", "FieldValueRequired"
        )
    for unknown in ("$ref", "definitions", "dependencies", "patternProperties", "additionalItems", "uniqueItems"):
        if node.get(unknown):
            yield Cause(f"{where}.{unknown}", "Forbidden: not supported in structural schemas", "FieldValueForbidden")
    if node.get("type") == "array" and not node.get("items"):
        yield Cause(f"{where}.items", "Required value: must be specified", "FieldValueRequired")
    yield from _rule_causes(node, where)
    for name, child in (node.get("properties") or {}).items():
        if not (where.endswith("openAPIV3Schema") and name == "metadata"):
            yield from _schema_causes(child, f"{where}.properties[{name}]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _schema_causes(node["additionalProperties"], f"{where}.additionalProperties")
    if isinstance(node.get("items"), dict):
        yield from _schema_causes(node["items"], f"{where}.items")


def _rule_causes(node: Object, where: str) -> Iterator[Cause]:
    for index, rule in enumerate(node.get("x-kubernetes-validations") or ()):
        for field in ("rule", "messageExpression"):
            try:
                program(rule.get(field) or "true")
            except CelError as error:
                at = f"{where}.x-kubernetes-validations[{index}].{field}"
                yield Cause(at, f"Invalid value: {quoted(rule[field])}: {error}")
