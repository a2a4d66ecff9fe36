"""Where the AKS cluster is and who we are: what the adapter is made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AzureOptions:
    """Where the cluster is and who we are. `credential`: workload-identity, managed-identity, default, or none (loopback only)."""

    subscription_id: str
    resource_group: str
    cluster_name: str
    credential: str = "workload-identity"
    cloud: str = "public"
    tenant_id: str | None = None
    client_id: str | None = None
    federated_token_file: str | None = None
    authority_host: str | None = None
    arm_endpoint: str | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
