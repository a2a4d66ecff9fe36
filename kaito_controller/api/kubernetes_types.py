"""Parts of a Workspace that are in Kubernetes' own words: volumes, and pod templates of the user's.

Only what is looked at is modelled; everything else is kept as it was written and passed on. Docstrings become the text of
`kubectl explain`, as those of `types.py` do.
"""

# ruff: noqa: RUF012  (pydantic copies defaults for each instance)
from __future__ import annotations

from typing import Annotated

from pydantic import Field

from kaito_controller.api.schema import MAX_CONTAINERS, MAX_LABEL_KEY, ApiModel, Label, OpenModel


class PersistentVolumeClaimSource(ApiModel):
    """An existing claim in the namespace of the Workspace."""

    claim_name: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY)]
    """Name of the PersistentVolumeClaim."""
    read_only: bool = True
    """Mount it read-only."""


class OpenObject(OpenModel):
    """An object whose fields are Kubernetes' own and are passed on as they are."""


class VolumeSource(OpenModel):
    """A volume in Kubernetes' own words. Accepted kinds: persistentVolumeClaim, csi, ephemeral, configMap."""

    persistent_volume_claim: PersistentVolumeClaimSource | None = None
    """An existing claim in the namespace of the Workspace."""
    csi: OpenObject | None = None
    """An inline volume of a CSI driver."""
    ephemeral: OpenObject | None = None
    """A claim that lives as long as the pod."""
    config_map: OpenObject | None = None
    """A ConfigMap in the namespace of the Workspace."""


class OutputClaim(ApiModel):
    """An existing claim in the namespace of the Workspace that may be written to."""

    claim_name: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY)]
    """Name of the PersistentVolumeClaim."""


class OutputVolume(OpenModel):
    """A volume in Kubernetes' own words. Accepted kind: persistentVolumeClaim."""

    persistent_volume_claim: OutputClaim | None = None
    """An existing claim in the namespace of the Workspace."""


class SecurityContext(OpenModel):
    """Security settings of a container in Kubernetes' own words."""

    privileged: bool = False
    """Must be false."""


class Container(OpenModel):
    """A container in Kubernetes' own words."""

    name: Label
    """Name of the container, a DNS label."""
    security_context: SecurityContext = SecurityContext()
    """Security settings; must not be privileged."""


class PodVolume(OpenModel):
    """A volume in Kubernetes' own words."""

    name: Label
    """Name of the volume."""
    host_path: OpenObject | None = None
    """Must not be used."""


class PodSpec(OpenModel):
    """A pod in Kubernetes' own words. The chosen nodes are added to its node affinity, GPU tolerations to its tolerations."""

    containers: Annotated[list[Container], Field(min_length=1, max_length=MAX_CONTAINERS)]
    """The containers; at least one."""
    init_containers: Annotated[list[Container], Field(max_length=MAX_CONTAINERS)] = []
    """Containers that run before the others."""
    volumes: Annotated[list[PodVolume], Field(max_length=MAX_CONTAINERS)] = []
    """Volumes of the pod; hostPath is refused."""
    host_network: bool = False
    """Must be false."""
    host_pid: Annotated[bool, Field(alias="hostPID")] = False
    """Must be false."""
    host_ipc: Annotated[bool, Field(alias="hostIPC")] = False
    """Must be false."""


class PodTemplate(OpenModel):
    """A pod template of your own (core/v1 PodTemplateSpec), for models that are in no catalogue."""

    metadata: OpenObject = OpenObject()
    """Labels and annotations of the pods."""
    spec: PodSpec
    """The pod."""
