"""From a Machine to the pools it could become, one for each instance type. Pure.

Everything that can be known to be impossible is a problem here, before any node is ordered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gpu_provisioner.api import labels
from gpu_provisioner.api.machine import Machine, Taint
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import PoolDefaults, PoolSpec
from gpu_provisioner.machine.quantity import disk_size_gib
from gpu_provisioner.machine.requirements import NodeRequirements, read_requirements

POOL_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True)
class Candidates:
    """The pools to try, most wanted first, or the reasons why there can be none."""

    specs: tuple[PoolSpec, ...] = ()
    problems: tuple[str, ...] = ()


def candidates_for(machine: Machine, defaults: PoolDefaults) -> Candidates:
    """One PoolSpec for each acceptable instance type; empty with `problems` when the Machine cannot be served."""
    wanted = read_requirements(machine.spec)
    problems = [*machine.problems, *_name_problems(machine.name), *wanted.problems]
    size = _disk_size(machine, problems)
    taints = tuple(_taint_text(taint, problems) for taint in machine.spec.taints)
    family = _choice(machine, labels.NODE_IMAGE_FAMILY, CLOUD.image_families, problems) or defaults.image_family
    driver = _choice(machine, labels.GPU_DRIVER, CLOUD.gpu_drivers, problems) or defaults.gpu_driver
    profiles = CLOUD.gpu_instance_profiles
    profile = _choice(machine, labels.GPU_INSTANCE_PROFILE, profiles, problems) or defaults.gpu_instance_profile
    if problems:
        return Candidates(problems=tuple(problems))
    return Candidates(
        specs=tuple(
            PoolSpec(
                name=machine.name,
                instance_type=instance_type,
                node_labels=_node_labels(machine, instance_type),
                node_taints=taints,
                tags={**defaults.tags, labels.MACHINE_UID_TAG: machine.uid},
                os_disk_size_gib=size,
                capacity_type=wanted.capacity_type or defaults.capacity_type,
                zones=_zones(wanted, defaults),
                image_family=family,
                subnet_id=defaults.subnet_id,
                gpu_driver=driver,
                gpu_instance_profile=profile,
                owner=_owner(machine),
            )
            for instance_type in wanted.instance_types
        )
    )


def _owner(machine: Machine) -> str:
    """The namespace that the Machine was made for; all those that do not say share one place."""
    return machine.labels.get(labels.WORKSPACE_NAMESPACE) or machine.labels.get(labels.RAG_ENGINE_NAMESPACE) or ""


def is_gpu_type(instance_type: str) -> bool:
    """Whether the cloud's machines of that name have GPUs."""
    return CLOUD.gpu_type.search(instance_type) is not None


def _name_problems(name: str) -> list[str]:
    if POOL_NAME.fullmatch(name):
        return []
    return [
        f"metadata.name {name[:63]!r} ({len(name)} characters) cannot name {CLOUD.a_pool}; "
        "use at most 12 lower-case letters and digits, a letter first"
    ]


def _zones(wanted: NodeRequirements, defaults: PoolDefaults) -> tuple[str, ...]:
    return wanted.zones or defaults.zones


def _disk_size(machine: Machine, problems: list[str]) -> int | None:
    try:
        return disk_size_gib(machine.spec.resources.requests.get(labels.STORAGE))
    except ValueError as error:
        problems.append(f"spec.resources.requests.storage: {error}")
        return None


def _taint_text(taint: Taint, problems: list[str]) -> str:
    if taint.effect not in _EFFECTS:
        problems.append(
            f"spec.taints: effect {taint.effect[:40]!r} of {taint.key[:63]!r} must be one of {', '.join(_EFFECTS)}"
        )
    return f"{taint.key}={taint.value}:{taint.effect}"


def _choice(machine: Machine, annotation: str, choices: Mapping[str, str], problems: list[str]) -> str | None:
    value = machine.annotations.get(annotation)
    if value is None:
        return None
    chosen = choices.get(value.strip().lower())
    if chosen is None:
        problems.append(f"annotation {annotation}: {value[:40]!r} must be one of {', '.join(choices.values())}")
    return chosen


def _node_labels(machine: Machine, instance_type: str) -> dict[str, str]:
    """Without what only kubelet and cloud may say (which refuse such labels); the machine type and the mark go over everything."""
    own = {key: value for key, value in machine.labels.items() if not labels.SYSTEM_LABEL.fullmatch(key)}
    return {
        machine.dialect.pool_label: machine.labels.get(machine.dialect.pool_label, machine.dialect.pool_default),
        **own,
        labels.MACHINE_TYPE: labels.MACHINE_TYPE_GPU if is_gpu_type(instance_type) else labels.MACHINE_TYPE_CPU,
        labels.MACHINE_UID: machine.uid,
    }
