"""Rules of `resource`: what nodes may be asked for, and what may not change."""

from __future__ import annotations

from collections.abc import Iterator

from kaito_controller.api import labels, patterns, sentences
from kaito_controller.api.types import DEFAULT_INSTANCE_TYPE, LabelSelector, ResourceSpec
from kaito_controller.api.violation import Violation, quote

_SELECTOR = "resource.labelSelector"


def check_resource(resource: ResourceSpec) -> Iterator[Violation]:
    """Everything about `resource` that needs no catalogue."""
    if not patterns.fits(patterns.INSTANCE_TYPE, resource.instance_type):
        field = "resource.instanceType"
        yield Violation(field, f"{quote(resource.instance_type)} {sentences.INSTANCE_TYPE}", field)
    yield from _check_list(resource)
    for message in _selector_faults(resource.label_selector):
        yield Violation(_SELECTOR, message, _SELECTOR)
    for index, node in enumerate(resource.preferred_nodes):
        if not patterns.fits(patterns.DNS_SUBDOMAIN, node):
            field = f"resource.preferredNodes[{index}]"
            yield Violation(field, f"{quote(node)} {sentences.NODE_NAME}", "resource.preferredNodes")


def _check_list(resource: ResourceSpec) -> Iterator[Violation]:
    """The list of instance types, and what is beside it. A type that the API server may have filled in says nothing."""
    field, named = "resource.instanceTypes", [name.lower() for name in resource.instance_types]
    for index, name in enumerate(resource.instance_types):
        if not patterns.fits(patterns.INSTANCE_TYPE, name):
            yield Violation(f"{field}[{index}]", f"{quote(name)} {sentences.INSTANCE_TYPE}", field)
    if len(set(named)) != len(named):
        yield Violation(field, sentences.INSTANCE_TYPES_TWICE, field)
    beside = resource.instance_type
    if named and beside.lower() not in (named[0], DEFAULT_INSTANCE_TYPE.lower()):
        yield Violation("resource.instanceType", f"{quote(beside)} {sentences.INSTANCE_TYPE_NOT_FIRST}", "resource")


def _selector_faults(selector: LabelSelector) -> Iterator[str]:
    expressions = selector.match_expressions
    if not selector.match_labels and not expressions:
        yield sentences.SELECTOR_EMPTY
    plain = [e for e in expressions if e.operator == "In" and len(e.values) == 1]
    if len(plain) != len(expressions):
        yield sentences.SELECTOR_OPERATOR
    pairs = [*selector.match_labels.items(), *((e.key, e.values[0]) for e in plain)]
    keys = [*selector.match_labels, *(e.key for e in expressions)]
    if not all(patterns.fits(patterns.LABEL_KEY, k) and patterns.fits(patterns.LABEL_KEY_LENGTHS, k) for k in keys):
        yield sentences.SELECTOR_KEY
    values = [*selector.match_labels.values(), *(v for e in expressions for v in e.values)]
    if not all(patterns.fits(patterns.LABEL_VALUE, value) for value in values):
        yield sentences.SELECTOR_VALUE
    if any(patterns.fits(labels.SYSTEM_LABEL, key) and key not in labels.ORDERED_LABELS for key in keys):
        yield sentences.SELECTOR_RESERVED
    if any((can := labels.ORDERED_LABELS.get(key)) and value not in can for key, value in pairs):
        yield sentences.SELECTOR_ORDERED
    if len(set(pairs)) != len({key for key, _ in pairs}):
        yield sentences.SELECTOR_CONFLICT
