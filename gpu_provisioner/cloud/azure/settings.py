"""Settings of the AKS adapter: where the cluster is, who we are, how often we may ask, and what a pool looks like.

The variables keep the names that Azure's own gpu-provisioner uses, so that an existing Deployment works unchanged.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic.config import JsonDict

from controller_runtime.settings import Seconds, quoted
from gpu_provisioner.cloud.azure.agent_pools import AzureAgentPools
from gpu_provisioner.cloud.azure.offers import AzureOffers
from gpu_provisioner.cloud.azure.options import AzureOptions
from gpu_provisioner.cloud.port import PoolDefaults, RequestBudget
from gpu_provisioner.cloud.settings import CloudSettings

Trimmed = Annotated[str, BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TAG_NAME = re.compile(r"[^<>%&\\?/]{1,128}")


def _env(*names: str) -> JsonDict:
    return {"env": list(names)}


class AzureSettings(CloudSettings):
    """What the adapter needs beside what every operator has."""

    # The Azure cluster and our identity.
    subscription_id: Trimmed = Field(
        min_length=1, description="Azure subscription of the cluster.", json_schema_extra=_env("ARM_SUBSCRIPTION_ID")
    )
    resource_group: Trimmed = Field(
        min_length=1,
        description="Resource group of the cluster (not the MC_ group of its nodes).",
        json_schema_extra=_env("ARM_RESOURCE_GROUP"),
    )
    cluster_name: Trimmed = Field(
        min_length=1, description="Name of the AKS cluster.", json_schema_extra=_env("AZURE_CLUSTER_NAME")
    )
    location: Trimmed | None = Field(
        default=None,
        description="Azure region of the cluster; quotas and offered instance types are read there, and not at all when it is not given.",
        json_schema_extra=_env("LOCATION"),
    )
    credential: Literal["workload-identity", "managed-identity", "default", "none"] = Field(
        default="workload-identity",
        description="How to authenticate: workload-identity (federated token), managed-identity, default (azure-identity's chain), "
        "none (only with a loopback endpoint).",
        json_schema_extra=_env("AZURE_CREDENTIAL"),
    )
    tenant_id: Trimmed | None = Field(
        default=None,
        description="Tenant of the identity (workload identity).",
        json_schema_extra=_env("AZURE_TENANT_ID"),
    )
    client_id: Trimmed | None = Field(
        default=None,
        description="Client id of the identity (workload identity, user-assigned managed identity).",
        json_schema_extra=_env("AZURE_CLIENT_ID"),
    )
    federated_token_file: Trimmed | None = Field(
        default=None,
        description="File with the projected service account token (workload identity).",
        json_schema_extra=_env("AZURE_FEDERATED_TOKEN_FILE"),
    )
    authority_host: Trimmed | None = Field(
        default=None,
        description="Where tokens are issued; the cloud's own when not given.",
        json_schema_extra=_env("AZURE_AUTHORITY_HOST"),
    )
    azure_cloud: Literal["public", "usgovernment", "china"] = Field(
        default="public", description="Which Azure cloud.", json_schema_extra=_env("AZURE_CLOUD")
    )
    arm_endpoint: Trimmed | None = Field(
        default=None,
        description="Resource Manager endpoint; the cloud's own when not given.",
        json_schema_extra=_env("ARM_ENDPOINT"),
    )
    azure_connect_timeout_s: Seconds = Field(default=10.0, gt=0, description="Longest wait for a connection to Azure.")
    azure_read_timeout_s: Seconds = Field(
        default=30.0, gt=0, description="Longest silence of Azure within one request."
    )
    azure_requests_per_s: float = Field(
        default=5.0, ge=0.001, description="Requests per second to Azure in the long run, for all Machines together."
    )
    azure_request_burst: int = Field(default=100, ge=1, description="Requests to Azure that may be made at once.")

    # What a pool looks like when its Machine does not say.
    capacity_type: Literal["on-demand", "spot"] = Field(
        default="on-demand", description="Capacity type of pools whose Machine asks for none."
    )
    zones: tuple[str, ...] = Field(
        default=(), description="Availability zones of pools whose Machine asks for none, such as 1,2."
    )
    os_sku: Literal["Ubuntu", "AzureLinux"] | None = Field(
        default=None, description="OS SKU of pools whose Machine has no image family; AKS decides when not given."
    )
    subnet_id: Trimmed | None = Field(
        default=None, description="Resource id of the subnet of all pools; AKS decides when not given."
    )
    gpu_driver: Literal["Install", "None"] | None = Field(
        default=None, description="Whether AKS installs the GPU driver; AKS decides when not given."
    )
    gpu_instance_profile: Literal["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"] | None = Field(
        default=None, description="MIG profile of all pools whose Machine has none."
    )
    tags: dict[str, str] = Field(default_factory=dict, description="Azure tags of all pools, such as team=ml,cost=42.")

    @field_validator("zones")
    @classmethod
    def _zones_are_digits(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if any(not re.fullmatch(r"[1-9]", zone) for zone in zones):
            raise ValueError("zones are single digits, such as 1,2,3")
        return zones

    @field_validator("tags")
    @classmethod
    def _tags_are_legal(cls, tags: dict[str, str]) -> dict[str, str]:
        bad = [name for name, value in tags.items() if not _TAG_NAME.fullmatch(name) or len(value) > 256]
        if bad:
            raise ValueError(
                f"tag {quoted(bad[0])}: names have 1 to 128 characters without <>%&\\?/, values at most 256"
            )
        return tags

    @model_validator(mode="after")
    def _credential_is_complete(self) -> AzureSettings:
        if self.credential == "workload-identity":
            parts = {
                "tenant_id (AZURE_TENANT_ID)": self.tenant_id,
                "client_id (AZURE_CLIENT_ID)": self.client_id,
                "federated_token_file (AZURE_FEDERATED_TOKEN_FILE)": self.federated_token_file,
            }
            missing = [name for name, value in parts.items() if not value]
            if missing:
                raise ValueError(
                    f"workload identity needs {', '.join(missing)}: label the pod azure.workload.identity/use=true and annotate its "
                    "ServiceAccount with azure.workload.identity/client-id, or choose another credential (AZURE_CREDENTIAL)"
                )
        if self.credential == "none" and not _is_loopback(self.arm_endpoint):
            raise ValueError(
                "credential none (AZURE_CREDENTIAL) is for a simulated cloud: arm_endpoint must be on loopback"
            )
        return self

    def connect(self) -> tuple[AzureAgentPools, AzureOffers | None]:
        pools = AzureAgentPools(self.cloud_options())
        return pools, AzureOffers(pools, self.location) if self.location else None

    def cloud_options(self) -> AzureOptions:
        """Where and who."""
        return AzureOptions(
            subscription_id=self.subscription_id,
            resource_group=self.resource_group,
            cluster_name=self.cluster_name,
            credential=self.credential,
            cloud=self.azure_cloud,
            tenant_id=self.tenant_id,
            client_id=self.client_id,
            federated_token_file=self.federated_token_file,
            authority_host=self.authority_host,
            arm_endpoint=self.arm_endpoint,
            connect_timeout_s=self.azure_connect_timeout_s,
            read_timeout_s=self.azure_read_timeout_s,
        )

    def request_budget(self) -> RequestBudget:
        return RequestBudget(self.azure_requests_per_s, self.azure_request_burst)

    def pool_defaults(self) -> PoolDefaults:
        return PoolDefaults(
            capacity_type=self.capacity_type,
            zones=self.zones,
            image_family=self.os_sku,
            subnet_id=self.subnet_id,
            gpu_driver=self.gpu_driver,
            gpu_instance_profile=self.gpu_instance_profile,
            tags=self.tags,
        )


def _is_loopback(endpoint: str | None) -> bool:
    return endpoint is not None and urlsplit(endpoint).hostname in _LOOPBACK


SETTINGS = AzureSettings
