"""The meadow, as far as the core has to know it."""

from __future__ import annotations

import re

from gpu_provisioner.cloud.profile import CloudProfile

PROFILE = CloudProfile(
    name="Meadow",
    service="MKS",
    provider="meadow",
    pool="herd",
    a_pool="a herd",
    budget_flags=("--meadow-requests-per-s",),
    access_cure="Open the gate.",
    role_cure="Look who has the key of the gate.",
    zone_hint="is no pasture; write it like north",
    zone=re.compile(r"north|south"),
    gpu_type=re.compile(r"horned"),
    image_families={},
    gpu_drivers={},
    gpu_instance_profiles={},
    node_class=("meadow.example", "MeadowNodeClass"),
    instance_type_key="meadow.example/breed",
    vm_of_pool="/herds/{pool}/",
)
