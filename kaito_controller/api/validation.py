"""Every rule of a Workspace as pure functions: the same verdicts as the CRD's CEL rules and the admission policy.

Used by the controller for clusters without the policy, for objects older than it, and for what admission cannot see. The rules
themselves are in `rules/`; here is the order, and what counts on an update.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kaito_controller.api.rules.catalogue import check_adapters, check_catalogue
from kaito_controller.api.rules.inference import check_inference, check_inference_change
from kaito_controller.api.rules.resource import check_resource, check_resource_change
from kaito_controller.api.rules.root import check_root, check_root_change
from kaito_controller.api.rules.tuning import check_tuning, check_tuning_change
from kaito_controller.api.types import Workspace
from kaito_controller.api.violation import CREATE_ONLY, Violation
from kaito_controller.catalog.model import Catalog

_INDEX = re.compile(r"\[\d+\]")


def validate_create(workspace: Workspace, catalog: Catalog) -> list[Violation]:
    """Everything that is wrong with a new Workspace; empty when it can work."""
    return [*workspace.malformed, *_rules(workspace, catalog), *check_catalogue(workspace, catalog)]


def validate_update(old: Workspace, new: Workspace, catalog: Catalog) -> list[Violation]:
    """Everything that is wrong with this change; faults that `old` already had, in parts that did not change, are not repeated."""
    violations = list(_change_rules(old, new))
    before, after = old.to_object(), new.to_object()
    known = set(old.malformed)
    violations += [v for v in new.malformed if v not in known]
    for violation in _rules(new, catalog):
        if violation.unit != CREATE_ONLY and _value_at(before, violation.unit) != _value_at(after, violation.unit):
            violations.append(violation)
    return violations


def _rules(workspace: Workspace, catalog: Catalog) -> Iterator[Violation]:
    yield from check_root(workspace)
    if workspace.resource is not None:
        yield from check_resource(workspace.resource)
    if workspace.inference is not None:
        yield from check_inference(workspace.inference)
    if workspace.tuning is not None:
        yield from check_tuning(workspace.tuning)
    yield from check_adapters(workspace, catalog)


def _change_rules(old: Workspace, new: Workspace) -> Iterator[Violation]:
    yield from check_root_change(old, new)
    if old.resource is not None and new.resource is not None:
        yield from check_resource_change(old.resource, new.resource)
    if old.inference is not None and new.inference is not None:
        yield from check_inference_change(old.inference, new.inference)
    if old.tuning is not None and new.tuning is not None:
        yield from check_tuning_change(old.tuning, new.tuning)


def _value_at(obj: Any, unit: str) -> Any:
    """The part of a raw object at a path such as `inference.adapters`; None when absent."""
    for part in unit.split("."):
        obj = obj.get(_INDEX.sub("", part)) if isinstance(obj, dict) else None
    return obj
