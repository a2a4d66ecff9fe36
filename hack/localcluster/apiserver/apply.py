"""Server-side apply and the `managedFields` of every other write.

Apply merges an intent into the live object: fields that another manager owns with another value are conflicts (409, or taken over with
`force`), fields that this manager owned and no longer sends are removed unless somebody else owns them too.
"""

from __future__ import annotations

from typing import Any

import orjson

from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.metadata import now_text
from hack.localcluster.apiserver.objects import Object, Write
from hack.localcluster.apiserver.ownership import (
    Fields,
    Path,
    children,
    contains,
    difference,
    field_set,
    item_element,
    leaves,
    owned_part,
    root_schema,
    shown,
    subtract,
    union,
    value_at,
    without_paths,
)
from hack.localcluster.apiserver.registry import ResourceType
from hack.localcluster.apiserver.schema import Schema

_KUBECTL = "kubectl"
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def track(kind: ResourceType, old: Object | None, new: Object, write: Write, subresource: str) -> None:
    """Note in `managedFields` which fields a create or update changed, and take them from the other managers; in place."""
    entries = _entries(new if "managedFields" in new["metadata"] else old)
    schema = root_schema(kind)
    changed: Fields = {}
    removed: list[Path] = []
    before = {} if old is None else owned_part(old, part="all")
    difference(before, owned_part(new, part="all"), schema, changed, removed)
    if not (changed or removed):
        _store(new, entries)
        return
    own = _key(write.manager, "Update", kind, subresource)
    kept = []
    for entry in entries:
        fields = without_paths(entry["fieldsV1"], removed)
        if _key_of(entry) != own:
            fields = subtract(fields, changed)
        else:
            changed = union(fields, changed)
            continue
        if fields:
            kept.append(entry | {"fieldsV1": fields})
    if changed:
        kept.append(_entry(own, changed))
    _store(new, kept)


def apply(
    kind: ResourceType, live: Object | None, intent: Object, write: Write, *, force: bool, subresource: str
) -> Object:
    """The live object with an intent merged in, `managedFields` included; 409 when others own what it changes."""
    schema = root_schema(kind)
    part = "status" if subresource == "status" else "" if "status" in kind.subresources else "all"
    wanted = owned_part(intent, part=part)
    fields = field_set(wanted, schema)
    own = _key(write.manager, "Apply", kind, subresource)
    entries = _entries(live)
    current = {} if live is None else live
    previous: Fields = next((entry["fieldsV1"] for entry in entries if _key_of(entry) == own), {})
    others = [entry for entry in entries if _key_of(entry) != own]
    conflicts = [(entry, _disputed(entry["fieldsV1"], fields, current, wanted, schema)) for entry in others]
    if write.manager == _KUBECTL and not subresource:
        force = force or _was_applied_by_kubectl(current, [path for _, paths in conflicts for path in paths], schema)
    if any(paths for _, paths in conflicts) and not force:
        raise _conflict([(entry, paths) for entry, paths in conflicts if paths])
    others = [entry | {"fieldsV1": without_paths(entry["fieldsV1"], paths)} for entry, paths in conflicts]
    others = [entry for entry in others if entry["fieldsV1"]]
    merged: Object = _merge(current, wanted, schema)
    # Whole list items first: an item that has lost its key fields could not be found any more.
    for path in sorted(leaves(subtract(previous, fields)), key=lambda path: path[-1] != "."):
        if not any(contains(entry["fieldsV1"], path) for entry in others):
            merged = _removed(merged, path[:-1] if path[-1] == "." else path, schema)
    heading: Object = {"apiVersion": kind.api_version, "kind": kind.kind}
    merged = heading | merged
    merged["metadata"] = (intent.get("metadata") or {}) | (merged.get("metadata") or {})
    asked = (intent.get("metadata") or {}).get("resourceVersion")
    if asked:
        merged["metadata"]["resourceVersion"] = asked
    unchanged = next((entry for entry in entries if _key_of(entry) == own and entry["fieldsV1"] == fields), None)
    _store(merged, [*others, *([unchanged or _entry(own, fields)] if fields else [])])
    return merged


def _was_applied_by_kubectl(live: Object, paths: list[Path], schema: Schema) -> bool:
    """Whether all fields are in kubectl's own annotation: then server-side apply takes over from client-side apply without a conflict."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(_LAST_APPLIED)
    if not text:
        return False
    applied = field_set(owned_part(orjson.loads(text), part="all"), schema)
    return all(contains(applied, path) for path in paths)


def _disputed(theirs: Fields, ours: Fields, live: Object, wanted: Object, schema: Schema) -> list[Path]:
    owned = [path for path in leaves(ours) if path[-1] != "." and contains(theirs, path)]
    return [path for path in owned if value_at(live, path, schema) != value_at(wanted, path, schema)]


def _conflict(conflicts: list[tuple[Object, list[Path]]]) -> StatusError:
    causes, texts = [], []
    for entry, paths in conflicts:
        sub = f' with subresource "{entry["subresource"]}"' if entry.get("subresource") else ""
        owner = f'"{entry["manager"]}"{sub} using {entry["apiVersion"]}'
        causes += [
            {"reason": "FieldManagerConflict", "message": f"conflict with {owner}", "field": shown(path)}
            for path in paths
        ]
        single = len(paths) == 1
        texts.append(f"conflict with {owner}: {shown(paths[0])}" if single else
                     f"conflicts with {owner}:\n" + "\n".join(f"- {shown(path)}" for path in paths))  # fmt: skip
    count = len(causes)
    head = f"Apply failed with {count} conflict{'s' if count > 1 else ''}"
    return StatusError(409, f"{head}: " + "\n".join(texts), details={"causes": causes})


def _merge(live: Any, wanted: Any, schema: Schema | None) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict) and not (schema is not None and schema.atomic):
        result = dict(live)
        for name, value in wanted.items():
            child = schema.field(name) if schema else None
            result[name] = _merge(live[name], value, child) if name in live else value
        return result
    if (
        isinstance(wanted, list)
        and isinstance(live, list)
        and schema is not None
        and schema.list_type in ("map", "set")
    ):
        new = {item_element(item, schema): item for item in wanted}
        old = {item_element(item, schema): item for item in live}
        merged = [
            _merge(item, new[element], schema.items()) if element in new else item for element, item in old.items()
        ]
        return merged + [item for element, item in new.items() if element not in old]
    return wanted


def _removed(value: Any, path: Path, schema: Schema | None) -> Any:
    head, *rest = path
    parts = list(children(value, schema) or ())
    if not any(element == head for element, _, _ in parts):
        return value
    kept = []
    for element, entry, child in parts:
        if element != head:
            kept.append((element, entry))
        elif rest:
            left = _removed(entry, tuple(rest), child)
            if left not in ({}, []) or entry == left:
                kept.append((element, left))
    return [entry for _, entry in kept] if isinstance(value, list) else {element[2:]: entry for element, entry in kept}


def _key(manager: str, operation: str, kind: ResourceType, subresource: str) -> tuple[str, str, str, str]:
    return (manager or "unknown", operation, kind.api_version, subresource)


def _key_of(entry: Object) -> tuple[str, str, str, str]:
    return (entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", ""))


def _entries(obj: Object | None) -> list[Object]:
    found = ((obj or {}).get("metadata") or {}).get("managedFields") or []
    return [entry for entry in found if entry.get("fieldsV1") and entry.get("manager")]


def _entry(key: tuple[str, str, str, str], fields: Fields) -> Object:
    manager, operation, api_version, subresource = key
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": api_version,
        "time": now_text(),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return entry | ({"subresource": subresource} if subresource else {})


def _store(obj: Object, entries: list[Object]) -> None:
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)
