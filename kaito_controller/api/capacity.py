"""Spot or on demand: the annotation by which the author of a Workspace chooses, and its rule. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kaito_controller.api.violation import Violation, quote

CAPACITY_TYPE = "kaito.sh/capacity-type"
"""Annotation on a Workspace; counts for nodes that are ordered from then on."""
SPOT, ON_DEMAND, SPOT_FIRST = "spot", "on-demand", "spot-then-on-demand"
CHOICES: Mapping[str, tuple[str, ...]] = {SPOT: (SPOT,), ON_DEMAND: (ON_DEMAND,), SPOT_FIRST: (SPOT, ON_DEMAND)}
"""Capacity types to try, in order, by the value of the annotation."""
LABEL = "karpenter.sh/capacity-type"
"""As a label of `resource.labelSelector` it says the same of new nodes, and of existing ones too."""
UNKNOWN = f"is not one of {', '.join(CHOICES)}"
CONTRADICTS = f"and {LABEL} in resource.labelSelector say different things; leave one of them out"


def capacity_types(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Those to try in order; () where the author has said nothing, or what nobody understands."""
    return CHOICES.get(str(annotations.get(CAPACITY_TYPE)), ())


def check_capacity(annotations: Mapping[str, str], node_labels: Mapping[str, str]) -> Iterator[Violation]:
    """A value that is understood, and that the labels do not contradict."""
    value = annotations.get(CAPACITY_TYPE)
    if value is None:
        return
    where = f'metadata.annotations["{CAPACITY_TYPE}"]'
    if value not in CHOICES:
        yield Violation(where, f"{quote(value)} {UNKNOWN}")
    elif LABEL in node_labels and node_labels[LABEL] != value:
        yield Violation(where, f"{quote(value)} {CONTRADICTS}")
