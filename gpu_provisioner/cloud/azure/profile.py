"""Azure Kubernetes Service, as far as the core has to know it. Knows no Azure library."""

from __future__ import annotations

import re

from gpu_provisioner.cloud.profile import CloudProfile

PROFILE = CloudProfile(
    name="Azure",
    service="AKS",
    provider="azure",
    pool="agent pool",
    a_pool="an agent pool",
    budget_flags=("--azure-requests-per-s", "--azure-request-burst"),
    access_cure="Give the identity the actions agentPools/read, write and delete on the cluster, and check the settings "
    "subscription, resource group, cluster name, tenant and client id.",
    role_cure="Check the role assignment (agentPools read, write, delete on the cluster) and the subscription, group and cluster settings.",
    zone_hint="is not an Azure zone; write it like eastus-1 or 1",
    zone=re.compile(r"[1-9]"),
    gpu_type=re.compile(r"standard_n", re.IGNORECASE),
    image_families={"ubuntu": "Ubuntu", "azurelinux": "AzureLinux"},
    gpu_drivers={"install": "Install", "none": "None"},
    gpu_instance_profiles={name.lower(): name for name in ("MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g")},
    node_class=("karpenter.azure.com", "AKSNodeClass"),
    instance_type_key="karpenter.azure.com/sku-name",
    vm_of_pool="/virtualMachineScaleSets/aks-{pool}-",
)
