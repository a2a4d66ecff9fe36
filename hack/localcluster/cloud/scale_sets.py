"""The VMs behind the pools: each pool has a scale set, which is filled up to its count, emptied, or taken back in part.

What becomes of a VM is the host's affair; without a host a pool has VMs, and no Node ever comes of them. Not thread-safe: its caller
holds the pools' lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from hack.localcluster.cloud.model import AgentPool, CloudIdentity, VirtualMachine, VmHost


class ScaleSets:
    """Boots and ends VMs at the host."""

    def __init__(self, identity: CloudIdentity, host: VmHost | None) -> None:
        self._identity = identity
        self._host = host

    def fill(self, pool: AgentPool) -> None:
        """Bring the number of VMs to `count`."""
        count = int(pool.properties["count"])
        surplus, pool.vms = pool.vms[count:], pool.vms[:count]
        self._end(surplus)
        made = [new_vm(self._identity, pool, index) for index in range(len(pool.vms), count)]
        pool.vms += made
        self._boot(made)

    def empty(self, pool: AgentPool) -> None:
        """End all VMs of the pool."""
        gone, pool.vms = pool.vms, []
        self._end(gone)

    def announce(self, vms: Iterable[VirtualMachine]) -> None:
        """Tell these VMs that they are taken back soon."""
        for vm in vms if self._host is not None else ():
            self._host.announce(vm)

    def take_back(self, pool: AgentPool, vms: Iterable[VirtualMachine]) -> None:
        """End those of these VMs that the pool still has."""
        gone = [vm for vm in vms if vm in pool.vms]
        pool.vms = [vm for vm in pool.vms if vm not in gone]
        self._end(gone)

    def resume(self, pool: AgentPool) -> None:
        """Boot the VMs that a restored pool has."""
        self._boot(pool.vms)

    def _boot(self, vms: Iterable[VirtualMachine]) -> None:
        for vm in vms if self._host is not None else ():
            self._host.boot(vm)

    def _end(self, vms: Iterable[VirtualMachine]) -> None:
        for vm in vms if self._host is not None else ():
            self._host.shut_down(vm)


def new_vm(identity: CloudIdentity, pool: AgentPool, index: int) -> VirtualMachine:
    """The VM number `index` of a pool's scale set."""
    scale_sets = "providers/Microsoft.Compute/virtualMachineScaleSets"
    group = f"/subscriptions/{identity.subscription_id}/resourceGroups/{identity.node_resource_group}"
    zones = [f"{identity.location}-{zone}" for zone in pool.properties.get("availabilityZones") or ()] or ["0"]
    return VirtualMachine(
        pool=pool.name,
        node_name=f"{pool.vmss_name}{index:06d}",
        provider_id=f"azure://{group}/{scale_sets}/{pool.vmss_name}/virtualMachines/{index}",
        vm_size=pool.properties["vmSize"],
        labels=dict(pool.properties.get("nodeLabels") or {}),
        taints=tuple(pool.properties.get("nodeTaints") or ()),
        mode=pool.properties["mode"],
        os_disk_gib=int(pool.properties["osDiskSizeGB"]),
        zone=zones[index % len(zones)],
    )
