"""What a Machine asks for, read from its requirements. Pure.

Only operator In chooses: several entries for one key are intersected and the order of the first is kept, because it says which
instance type is wanted most. Keys that choose nothing here (arch, provisioner name, machine type) are ignored unless they make the
Machine impossible.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpu_provisioner.api import labels
from gpu_provisioner.api.machine import MachineSpec, Requirement
from gpu_provisioner.cloud.chosen import CLOUD

_ALIASES = {labels.INSTANCE_TYPE_BETA: labels.INSTANCE_TYPE, CLOUD.instance_type_key: labels.INSTANCE_TYPE}
_CAPACITY = {"spot": labels.CAPACITY_SPOT, "on-demand": labels.CAPACITY_ON_DEMAND, "regular": labels.CAPACITY_ON_DEMAND}
_INSTANCE_TYPE_SHAPE = re.compile(r"[A-Za-z0-9_.-]{1,80}")


@dataclass(frozen=True, slots=True)
class NodeRequirements:
    """The choice that the requirements leave. `problems` name the field, the value and the cure."""

    instance_types: tuple[str, ...]
    zones: tuple[str, ...]
    capacity_type: str | None
    problems: tuple[str, ...] = ()


def read_requirements(spec: MachineSpec) -> NodeRequirements:
    """Instance types in order of preference, zones as the cloud writes them, capacity type (None: not asked for)."""
    problems: list[str] = []
    types = _accepted(spec, labels.INSTANCE_TYPE, problems)
    if types is None and not problems:
        problems.append(
            f"spec.requirements has no entry for {labels.INSTANCE_TYPE}; add one with operator In and the wanted VM sizes"
        )
    elif types == () and not problems:
        problems.append(f"spec.requirements for {labels.INSTANCE_TYPE} leave no value; give at least one VM size")
    problems.extend(
        f"spec.requirements: {name[:80]!r} is not a VM size; write it like Standard_NC12s_v3"
        for name in types or ()
        if not _INSTANCE_TYPE_SHAPE.fullmatch(name)
    )
    return NodeRequirements(
        instance_types=types or (),
        zones=_zones(spec, problems),
        capacity_type=_capacity_type(spec, problems),
        problems=tuple(problems + _impossible(spec)),
    )


def _accepted(spec: MachineSpec, key: str, problems: list[str]) -> tuple[str, ...] | None:
    """Values that all In entries of the key accept, in the order of the first; None when the key is not mentioned."""
    entries = [r for r in spec.requirements if _ALIASES.get(r.key, r.key) == key]
    problems.extend(
        f"spec.requirements: {entry.key} has operator {entry.operator[:20]}; only In chooses a machine"
        for entry in entries
        if entry.operator != "In"
    )
    wanted = [entry.values for entry in entries if entry.operator == "In"]
    if not wanted:
        return None
    return tuple(dict.fromkeys(v for v in wanted[0] if all(v in other for other in wanted[1:])))


def _zones(spec: MachineSpec, problems: list[str]) -> tuple[str, ...]:
    """`eastus-2` or `2` becomes `2`."""
    found = _accepted(spec, labels.ZONE, problems) or ()
    zones = tuple(dict.fromkeys(zone.rsplit("-", 1)[-1] for zone in found))
    bad = [zone for zone in zones if not CLOUD.zone.fullmatch(zone)]
    if bad:
        problems.append(f"spec.requirements: zone {bad[0]!r} {CLOUD.zone_hint}")
    return zones


def _capacity_type(spec: MachineSpec, problems: list[str]) -> str | None:
    """Spot wins when both are accepted: it is the cheaper of two answers that the creator calls equally good."""
    found = _accepted(spec, labels.CAPACITY_TYPE, problems)
    if found is None:
        return None
    known = {_CAPACITY[v.lower()] for v in found if v.lower() in _CAPACITY}
    if not known:
        problems.append(f"spec.requirements: {labels.CAPACITY_TYPE} {list(found)} names neither spot nor on-demand")
        return None
    return labels.CAPACITY_SPOT if labels.CAPACITY_SPOT in known else labels.CAPACITY_ON_DEMAND


def _impossible(spec: MachineSpec) -> list[str]:
    return [
        f"spec.requirements: {labels.OS} In {r.values} excludes linux, and only Linux nodes are made"
        for r in spec.requirements
        if r.key == labels.OS and _excludes(r, "linux")
    ]


def _excludes(requirement: Requirement, value: str) -> bool:
    return requirement.operator == "In" and value not in requirement.values
