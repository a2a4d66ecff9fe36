"""What the subscription may have and what the region has left: quota in cores and the stock of VM sizes.

Two moments matter, because a client sees them differently: what is known at the request is refused there; what shows only when VMs are
made fails the operation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from hack.localcluster.cloud import errors
from hack.localcluster.cloud.errors import ArmError, Place
from hack.localcluster.cloud.model import AgentPool, Properties
from hack.localcluster.cloud.vm_sizes import find_vm_size


class Stock(StrEnum):
    """What a VM size is like in this region for this subscription."""

    AVAILABLE = "available"
    NOT_ALLOWED = "not_allowed"
    """Refused at the request: the subscription may not use it."""
    RESTRICTED = "restricted"
    """The operation fails with SkuNotAvailable."""
    NO_CAPACITY = "no_capacity"
    """The operation fails with AllocationFailed."""
    NO_ZONAL_CAPACITY = "no_zonal_capacity"
    """The operation fails with ZonalAllocationFailed."""


_STOCK_ERRORS = {
    Stock.RESTRICTED: errors.sku_not_available,
    Stock.NO_CAPACITY: errors.allocation_failed,
    Stock.NO_ZONAL_CAPACITY: errors.zonal_allocation_failed,
}


@dataclass(slots=True)
class Market:
    """Limits in cores (absent: unlimited) and the stock of sizes (absent: available)."""

    regional_limit: int | None = None
    family_limits: dict[str, int] = field(default_factory=dict)
    stock: dict[str, Stock] = field(default_factory=dict)
    spot_limit: int | None = None
    """Of all spot VMs of the region, which count in no other limit."""

    def stock_of(self, vm_size: str) -> Stock:
        """Availability of a size, whose case does not matter."""
        return self.stock.get(vm_size.lower(), Stock.AVAILABLE)

    def refusal(self, at: Place, *, count: int, held: int, spot: bool = False) -> ArmError | None:
        """Why a request for `count` VMs is refused at once; `held` are those that the pool has already, `at.used` what others use."""
        size = find_vm_size(at.vm_size)
        if size is None or self.stock_of(at.vm_size) is Stock.NOT_ALLOWED:
            return errors.sku_not_allowed(at)
        limit = None if spot else self.family_limits.get(size.family)
        needed = size.cores * count
        if limit is not None and count > held and at.used + needed > limit:
            return errors.family_quota(replace(at, cores=needed, limit=limit))
        return None

    def failure(self, at: Place, *, count: int, used_in_region: int, spot: bool = False) -> ArmError | None:
        """Why the VMs cannot be made after all; `used_in_region` by others of their kind, spot or not."""
        make_error = _STOCK_ERRORS.get(self.stock_of(at.vm_size))
        if make_error is not None:
            return make_error(at)
        needed, limit = at.cores * count, self.spot_limit if spot else self.regional_limit
        if limit is not None and used_in_region + needed > limit:
            regional = replace(at, cores=needed, limit=limit, used=used_in_region)
            return errors.compute_quota(regional, "LowPriorityCores" if spot else "Total Regional Cores")
        return None

    def to_json(self) -> dict[str, Any]:
        """For the state file and the admin endpoint."""
        limits = {"regional": self.regional_limit, "families": dict(self.family_limits), "spot": self.spot_limit}
        return {**limits, "stock": dict(self.stock)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Market:
        """From the state file; ValueError for a stock word that is not one."""
        stock = {size.lower(): Stock(word) for size, word in (data.get("stock") or {}).items()}
        return cls(data.get("regional"), dict(data.get("families") or {}), stock, data.get("spot"))


def is_spot(properties: Properties) -> bool:
    """Whether the VMs of a pool with these properties may be taken back at any time."""
    return bool(properties.get("scaleSetPriority") == "Spot")


def cores_in_use(pools: Iterable[AgentPool], family: str | None, *, excluding: str = "", spot: bool = False) -> int:
    """Cores of all pools on demand, or of all spot pools, that exist or are being made; a Failed pool holds none.

    `family`: only of that one. `excluding`: the name of a pool that does not count.
    """
    used = 0
    for pool in pools:
        size = find_vm_size(pool.properties["vmSize"])
        counts = pool.name != excluding and (pool.vms or pool.busy) and is_spot(pool.properties) is spot
        if counts and size is not None and family in (None, size.family):
            used += size.cores * int(pool.properties["count"])
    return used
