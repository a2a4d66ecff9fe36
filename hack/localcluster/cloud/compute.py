"""What the compute provider says of quota and offer: the bodies of `Usage - List` and `Resource Skus - List`.

Only what exists here is listed: the GPU sizes, and all cores of the region together. A limit that nobody set is a large one, as Azure
always has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hack.localcluster.cloud.market import Market, Stock
from hack.localcluster.cloud.vm_sizes import GPU_SIZES, VmSize

UNLIMITED = 100_000
_REGIONAL = ("cores", "Total Regional vCPUs")
_SPOT = ("lowPriorityCores", "Total Regional Spot vCPUs")


def usages(market: Market, used: Callable[[str | None], int], used_by_spot: int = 0) -> list[dict[str, Any]]:
    """One entry for each GPU family and two for the region; `used` tells the cores on demand in use of a family, of None of all."""
    families = sorted({size.family for size in GPU_SIZES.values()})
    entries = [_usage(family, f"{family} vCPUs", market.family_limits.get(family), used(family)) for family in families]
    spot = _usage(*_SPOT, market.spot_limit, used_by_spot)
    return [_usage(*_REGIONAL, market.regional_limit, used(None)), spot, *entries]


def skus(market: Market, location: str) -> list[dict[str, Any]]:
    """One entry for each GPU size; a size that the subscription may not use carries the restriction that Azure gives then."""
    return [_sku(size, market.stock_of(size.name), location) for size in GPU_SIZES.values()]


def _usage(name: str, title: str, limit: int | None, used: int) -> dict[str, Any]:
    return {
        "unit": "Count",
        "currentValue": used,
        "limit": UNLIMITED if limit is None else limit,
        "name": {"value": name, "localizedValue": title},
    }


def _sku(size: VmSize, stock: Stock, location: str) -> dict[str, Any]:
    restricted = stock in (Stock.NOT_ALLOWED, Stock.RESTRICTED)
    restriction = {
        "type": "Location",
        "values": [location],
        "restrictionInfo": {"locations": [location]},
        "reasonCode": "NotAvailableForSubscription",
    }
    return {
        "resourceType": "virtualMachines",
        "name": size.name,
        "tier": "Standard",
        "size": size.name.removeprefix("Standard_"),
        "family": size.family,
        "locations": [location],
        "capabilities": [
            {"name": "vCPUs", "value": str(size.cores)},
            {"name": "MemoryGB", "value": str(size.memory_gib)},
            {"name": "GPUs", "value": str(size.gpus)},
        ],
        "restrictions": [restriction] if restricted else [],
    }
