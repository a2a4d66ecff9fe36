"""Azure's quota of vCPUs and its list of VM sizes, read through the Resource Manager. Knows no Azure library.

Compute's own client would add a library as large as all others together for two lists; `ArmReader` reads them with the client of the
agent pools. The least role for it: `Microsoft.Compute/locations/usages/read` and `Microsoft.Compute/skus/read` on the subscription.
Replies as documented for `Usage - List` and `Resource Skus - List`; what has another shape is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from controller_runtime.logs import get_logger
from controller_runtime.untrusted import entries, integer, mapping, text
from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.offers import SPOT, TOTAL, CoreQuota, Offer, OfferedType

T = TypeVar("T")

USAGES_API_VERSION = "2024-07-01"
SKUS_API_VERSION = "2021-07-01"
_MOST_ENTRIES = 200
_GPU_SERIES = "standard_n"
"""Azure names its sizes with accelerators NC, ND, NG, NP and NV."""
_COUNTED_TOGETHER = {"cores": TOTAL, "lowPriorityCores": SPOT}
"""Azure counts all spot cores of a region in one quota, whatever their family."""

log = get_logger(__name__)


class ArmReader(Protocol):
    """Reads any list of the subscription."""

    def read_list(self, path: str, api_version: str, **query: str) -> Sequence[Mapping[str, Any]]:
        """All pages of the list at `path`, which begins after the subscription. Raises CloudError."""


class AzureOffers:
    """Implements InstanceOffers for one region. What may not be read is said once, and once more when it may."""

    def __init__(self, arm: ArmReader, region: str) -> None:
        self._arm = arm
        self._region = region
        self._denied: set[str] = set()

    def read_offer(self) -> Offer:
        return Offer(
            self._region,
            self._readable("quotas (Microsoft.Compute/locations/usages/read)", self._families),
            self._readable("instance types (Microsoft.Compute/skus/read)", self._instance_types),
        )

    def _families(self) -> Mapping[str, CoreQuota]:
        path = f"/providers/Microsoft.Compute/locations/{self._region}/usages"
        return dict(_quotas(self._arm.read_list(path, USAGES_API_VERSION)))

    def _instance_types(self) -> Mapping[str, OfferedType]:
        skus = self._arm.read_list(
            "/providers/Microsoft.Compute/skus", SKUS_API_VERSION, **{"$filter": f"location eq '{self._region}'"}
        )
        return dict(_gpu_types(skus))

    def _readable(self, what: str, read: Callable[[], T]) -> T | None:
        try:
            found = read()
        except port.Auth as error:
            if what not in self._denied:
                self._denied.add(what)
                log.info("the identity may not read this, so that it stays unknown", what=what, error=error.message)
            return None
        self._denied.discard(what)
        return found


def _quotas(usages: Iterable[object]) -> Iterable[tuple[str, CoreQuota]]:
    for usage in map(mapping, usages):
        name = mapping(usage.get("name")).get("value")
        limit, used = (_count(usage.get(key)) for key in ("limit", "currentValue"))
        if isinstance(name, str) and limit is not None and used is not None:
            yield _COUNTED_TOGETHER.get(name, name), CoreQuota(limit, used)


def _gpu_types(skus: Iterable[object]) -> Iterable[tuple[str, OfferedType]]:
    for sku in map(mapping, skus):
        name, family, cores = sku.get("name"), sku.get("family"), _cores(sku)
        if sku.get("resourceType") != "virtualMachines" or not (isinstance(name, str) and isinstance(family, str)):
            continue
        if name.lower().startswith(_GPU_SERIES) and cores is not None:
            yield name, OfferedType(family, cores, _restriction(sku))


def _cores(sku: Mapping[str, Any]) -> int | None:
    said = (c.get("value") for c in entries(sku.get("capabilities"), _MOST_ENTRIES) if c.get("name") == "vCPUs")
    return _count(next(said, None))


def _restriction(sku: Mapping[str, Any]) -> str:
    """Restrictions of single zones leave the type orderable in the others."""
    for restriction in entries(sku.get("restrictions"), _MOST_ENTRIES):
        if restriction.get("type") == "Location":
            return text(restriction.get("reasonCode"), 100) or "Restricted"
    return ""


def _count(value: object) -> int | None:
    found = integer(value, least=-1, most=10**9, default=-1)
    return None if found < 0 else found
