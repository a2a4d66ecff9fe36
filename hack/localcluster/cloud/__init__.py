"""The AKS agent-pool REST API of localcluster; see `cloud.AksCloud`."""

from hack.localcluster.cloud.cloud import SYSTEM_POOL, USER_POOL, AksCloud
from hack.localcluster.cloud.market import Stock
from hack.localcluster.cloud.model import CloudIdentity, Outcome, Script, VirtualMachine, VmHost

__all__ = [
    "SYSTEM_POOL",
    "USER_POOL",
    "AksCloud",
    "CloudIdentity",
    "Outcome",
    "Script",
    "Stock",
    "VirtualMachine",
    "VmHost",
]
