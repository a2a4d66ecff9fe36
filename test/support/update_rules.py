"""What a change of a Workspace may not do, in Python: the oracle beside the CRD's CEL rules, which alone decide in a cluster.

The CRD's rules run on every update, with or without the admission policy, so that no operator needs these. They are written a second
time, from the sentences and not from the CEL, because a slip in either then shows as a disagreement (`test/fuzz`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kaito_controller.api import sentences
from kaito_controller.api.types import InferenceSpec, LabelSelector, PresetSpec, ResourceSpec, TuningSpec, Workspace
from kaito_controller.api.validation import shape_rules
from kaito_controller.api.violation import CREATE_ONLY, Violation, quote
from kaito_controller.catalog.model import Catalog

_INDEX = re.compile(r"\[\d+\]")


def validate_update(old: Workspace, new: Workspace, catalog: Catalog) -> list[Violation]:
    """Everything that is wrong with this change; faults that `old` already had, in parts that did not change, are not repeated."""
    violations = list(_change_rules(old, new))
    before, after = old.to_object(), new.to_object()
    known = set(old.malformed)
    violations += [v for v in new.malformed if v not in known]
    for violation in shape_rules(new, catalog):
        if violation.unit != CREATE_ONLY and _value_at(before, violation.unit) != _value_at(after, violation.unit):
            violations.append(violation)
    return violations


def _change_rules(old: Workspace, new: Workspace) -> Iterator[Violation]:
    yield from _check_root_change(old, new)
    if old.resource is not None and new.resource is not None:
        yield from _check_resource_change(old.resource, new.resource)
    if old.inference is not None and new.inference is not None:
        yield from _check_inference_change(old.inference, new.inference)
    if old.tuning is not None and new.tuning is not None:
        yield from _check_tuning_change(old.tuning, new.tuning)


def _value_at(obj: Any, unit: str) -> Any:
    """The part of a raw object at a path such as `inference.adapters`; None when absent."""
    for part in unit.split("."):
        obj = obj.get(_INDEX.sub("", part)) if isinstance(obj, dict) else None
    return obj


def _check_root_change(old: Workspace, new: Workspace) -> Iterator[Violation]:
    """Parts that may not come or go."""
    if old.resource is not None and new.resource is None:
        yield Violation("resource", sentences.RESOURCE_REMOVED)
    if (old.inference is None) != (new.inference is None):
        yield Violation("inference", sentences.TOGGLED)
    if (old.tuning is None) != (new.tuning is None):
        yield Violation("tuning", sentences.TOGGLED)


def _check_resource_change(old: ResourceSpec, new: ResourceSpec) -> Iterator[Violation]:
    """Only preferredNodes may change: everything else would need other nodes."""
    if old.count != new.count:
        yield Violation("resource.count", sentences.UNCHANGEABLE)
    if old.instance_type != new.instance_type:
        yield Violation("resource.instanceType", f"{quote(new.instance_type)} {sentences.UNCHANGEABLE}")
    if old.instance_types != new.instance_types:
        yield Violation("resource.instanceTypes", sentences.UNCHANGEABLE)
    if not _same_selector(old.label_selector, new.label_selector):
        yield Violation("resource.labelSelector", sentences.UNCHANGEABLE)


def _same_selector(old: LabelSelector, new: LabelSelector) -> bool:
    def expressions(selector: LabelSelector) -> set[str]:
        return {e.model_dump_json(exclude_defaults=True) for e in selector.match_expressions}

    return old.match_labels == new.match_labels and expressions(old) == expressions(new)


def _check_inference_change(old: InferenceSpec, new: InferenceSpec) -> Iterator[Violation]:
    """The preset is fixed; a template may change but not come or go; adapters may change."""
    yield from _check_preset_change(old.preset, new.preset, "inference.preset")
    if (old.template is None) != (new.template is None):
        yield Violation("inference.template", sentences.TOGGLED)


def _check_tuning_change(old: TuningSpec, new: TuningSpec) -> Iterator[Violation]:
    """Model, method and the name of the input are fixed; data, parameters and destination may change and start a new run."""
    yield from _check_preset_change(old.preset, new.preset, "tuning.preset")
    if old.method_name != new.method_name:
        yield Violation("tuning.method", f"{quote(new.method)} {sentences.UNCHANGEABLE}")
    if old.input.name != new.input.name:
        yield Violation("tuning.input.name", f"{quote(new.input.name)} {sentences.UNCHANGEABLE}")


def _check_preset_change(old: PresetSpec | None, new: PresetSpec | None, path: str) -> Iterator[Violation]:
    """The model of a Workspace is fixed as a whole; absent, empty and default say the same."""
    if (old and old.model_dump(exclude_defaults=True)) != (new and new.model_dump(exclude_defaults=True)):
        yield Violation(path, sentences.UNCHANGEABLE)
