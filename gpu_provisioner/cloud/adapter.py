"""The adapter of the cloud that this program is built with.

Who brings another cloud writes a folder beside `azure/`, and changes the imports here and in `chosen.py`: nothing else names a cloud.
"""

from __future__ import annotations

from gpu_provisioner.cloud.azure.agent_pools import AzureAgentPools as Cloud
from gpu_provisioner.cloud.azure.offers import AzureOffers
from gpu_provisioner.cloud.azure.settings import AzureSettings as CloudSettings
from gpu_provisioner.cloud.offers import InstanceOffers

__all__ = ["Cloud", "CloudSettings", "offers_of"]


def offers_of(cloud: Cloud, settings: CloudSettings) -> InstanceOffers | None:
    """What is sold where the cluster is; None when the settings do not say where."""
    return AzureOffers(cloud, settings.location) if settings.location else None
