"""What the core needs to know of a cloud without asking it: nouns for texts that people read, names, and a few rules.

The core names no cloud. Each adapter states its profile in its own folder, and `chosen.py` finds it there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CloudProfile:
    """One cloud. `provider` is its name in labels of metrics and in logs."""

    name: str
    service: str
    """The service of the cloud that runs the cluster."""
    provider: str
    pool: str
    """What the service calls a group of nodes that are ordered and deleted together."""
    a_pool: str
    budget_flags: tuple[str, ...]
    """The settings of the request budget, as they are typed."""
    access_cure: str
    """What to do when the cloud refuses our identity."""
    role_cure: str
    """The same in a few words, for the documentation."""
    zone_hint: str
    """What is wrong with a zone that does not fit `zone`, and how to write it."""
    zone: re.Pattern[str]
    gpu_type: re.Pattern[str]
    """Found in the name of each instance type that has GPUs."""
    image_families: Mapping[str, str]
    """Operating systems of nodes: the annotation's value in lower case, and how the cloud writes it."""
    gpu_drivers: Mapping[str, str]
    gpu_instance_profiles: Mapping[str, str]
    node_class: tuple[str, str]
    """Group and kind of the node class that Karpenter's provider for this cloud has, and that KAITO names in its NodeClaims."""
    instance_type_key: str
    """Requirement of a NodeClaim that names an instance type besides Kubernetes' own."""
    vm_of_pool: str
    """Part of a Node's providerID, with `{pool}` for the name of the pool that its VM belongs to."""

    def told(self, text: str) -> str:
        """`text` with the words of this cloud in the places of `{cloud}`, `{service}`, `{pool}`, `{a_pool}` (`{A_pool}`) and the cures."""
        return text.format(
            cloud=self.name,
            service=self.service,
            pool=self.pool,
            a_pool=self.a_pool,
            A_pool=self.a_pool[0].upper() + self.a_pool[1:],
            budget_flags=" and ".join(f"`{flag}`" for flag in self.budget_flags),
            role_cure=self.role_cure,
        )
