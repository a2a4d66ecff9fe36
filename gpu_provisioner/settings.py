"""Settings of `gpu-provisioner`: one model for flags and environment, checked once, translated into what each part needs.

Those of the cloud, and of a pool, are in the cloud's own folder (`cloud/<name>/settings.py`); `SETTINGS` has both.
"""

from __future__ import annotations

import re
from typing import Literal, cast

from pydantic import Field, create_model, field_validator

from controller_runtime.settings import Seconds
from gpu_provisioner.cloud.settings import CloudSettings, settings_of_the_cloud
from gpu_provisioner.machine.limits import Limits
from gpu_provisioner.machine.ownership import DEFAULT_CLASSES

ENV_PREFIX = "GPU_PROVISIONER"
PROG = "gpu-provisioner"


class ProvisionerSettings(CloudSettings):
    """Turns Machines into GPU nodes."""

    node_apis: Literal["auto", "machine", "nodeclaim", "both"] = Field(
        default="auto",
        description="Objects that are answered: Machines, NodeClaims or both; auto: those whose CRD is installed at the start.",
    )
    node_classes: tuple[str, ...] = Field(
        default=tuple("/".join(entry) for entry in DEFAULT_CLASSES),
        description="Node classes (GROUP/KIND) whose NodeClaims are answered; others are left to the Karpenter whose class it is.",
    )
    adopt_unmarked_pools: bool = Field(
        default=False,
        description="Also manage pools without our mark that gpu-provisioner 0.2.x made for a Machine whose status names their VM; "
        "for the time of a migration.",
    )

    # How long things may take.
    launch_timeout_s: Seconds = Field(
        default=900.0, gt=0, description="A Machine for which no pool could be ordered by then is deleted."
    )
    pool_creation_timeout_s: Seconds = Field(
        default=1800.0, gt=0, description="A Machine whose pool is still being created by then is deleted."
    )
    registration_timeout_s: Seconds = Field(
        default=900.0, gt=0, description="A Machine whose Node has not joined so long after the pool is deleted."
    )
    initialization_timeout_s: Seconds = Field(
        default=1800.0, gt=0, description="A Machine whose Node joined and was not initialized by then is deleted."
    )
    unhealthy_timeout_s: Seconds = Field(
        default=600.0,
        gt=0,
        description="A Machine whose Node is not Ready for so long while its pool is running is deleted, so that it is replaced.",
    )
    drain_timeout_s: Seconds = Field(
        default=0.0, description="A drain is given up after so long; 0: PodDisruptionBudgets are honoured for ever."
    )
    poll_s: Seconds = Field(default=10.0, gt=0, description="Least time between two looks at a pool in change.")
    poll_max_s: Seconds = Field(default=30.0, gt=0, description="Most time between two looks at a pool in change.")
    quota_retry_s: Seconds = Field(default=300.0, gt=0, description="Pause after a refusal for lack of quota.")
    not_offered_memory_s: Seconds = Field(
        default=600.0, gt=0, description="How long an instance type that is not offered is skipped by all Machines."
    )
    capacity_memory_s: Seconds = Field(
        default=180.0, gt=0, description="How long an instance type without capacity is skipped by all Machines."
    )
    offer_period_s: Seconds = Field(
        default=1800.0,
        description="Time between two readings of quotas and offered instance types; 0: they are not read.",
    )
    gc_period_s: Seconds = Field(default=120.0, gt=0, description="Time between two rounds of garbage collection.")
    gc_safe_age_s: Seconds = Field(
        default=60.0, gt=0, description="How long something must have been seen without its owner before it is removed."
    )
    time_scale: float = Field(
        default=1.0,
        ge=0.001,
        le=1e6,
        description="Divides every duration that concerns Machines; for simulated clouds that run faster.",
    )

    @field_validator("node_classes")
    @classmethod
    def _classes_are_pairs(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if any(not re.fullmatch(r"[a-z0-9.-]+/[A-Za-z0-9]+", entry) for entry in classes):
            raise ValueError("node classes are GROUP/KIND, such as kaito.sh/KaitoNodeClass")
        return classes

    def limits(self) -> Limits:
        """All durations, scaled."""
        return Limits(
            launch_timeout_s=self.launch_timeout_s,
            pool_creation_timeout_s=self.pool_creation_timeout_s,
            registration_timeout_s=self.registration_timeout_s,
            initialization_timeout_s=self.initialization_timeout_s,
            unhealthy_timeout_s=self.unhealthy_timeout_s,
            drain_timeout_s=self.drain_timeout_s,
            poll_s=self.poll_s,
            poll_max_s=self.poll_max_s,
            quota_retry_s=self.quota_retry_s,
            not_offered_memory_s=self.not_offered_memory_s,
            capacity_memory_s=self.capacity_memory_s,
        ).scaled(self.time_scale)


def _with_those_of_the_cloud() -> type[ProvisionerSettings]:
    bases = cast("tuple[type[ProvisionerSettings], ...]", (ProvisionerSettings, settings_of_the_cloud()))
    return create_model(ProvisionerSettings.__name__, __base__=bases, __doc__=ProvisionerSettings.__doc__)


SETTINGS = _with_those_of_the_cloud()
"""What the program can be told: the settings of the core, and those of the chosen cloud."""
