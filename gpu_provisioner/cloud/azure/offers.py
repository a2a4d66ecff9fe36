"""Azure's quota of vCPUs and its list of VM sizes, read through the Resource Manager. Knows no Azure library.

Compute's own client would add a library as large as all others together for two lists; `ArmReader` reads them with the client of the
agent pools. The least role for it: `Microsoft.Compute/locations/usages/read` and `Microsoft.Compute/skus/read` on the subscription.
Replies as documented for `Usage - List` and `Resource Skus - List`; what has another shape is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from controller_runtime.logs import get_logger
from gpu_provisioner.cloud import port
from gpu_provisioner.cloud.offers import CoreQuota, Offer, OfferedType

T = TypeVar("T")

USAGES_API_VERSION = "2024-07-01"
SKUS_API_VERSION = "2021-07-01"
_GPU_SERIES = "standard_n"
"""Azure names its sizes with accelerators NC, ND, NG, NP and NV."""

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


def _quotas(usages: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, CoreQuota]]:
    for usage in usages:
        name, limit, used = _mapping(usage.get("name")).get("value"), usage.get("limit"), usage.get("currentValue")
        if isinstance(name, str) and isinstance(limit, int) and isinstance(used, int):
            yield name, CoreQuota(limit, used)


def _gpu_types(skus: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, OfferedType]]:
    for sku in skus:
        name, family = sku.get("name"), sku.get("family")
        if sku.get("resourceType") != "virtualMachines" or not (isinstance(name, str) and isinstance(family, str)):
            continue
        cores = _cores(sku)
        if name.lower().startswith(_GPU_SERIES) and cores is not None:
            yield name, OfferedType(family, cores, _restriction(sku))


def _cores(sku: Mapping[str, Any]) -> int | None:
    for capability in sku.get("capabilities") or ():
        if _mapping(capability).get("name") == "vCPUs" and str(capability.get("value")).isdigit():
            return int(capability["value"])
    return None


def _restriction(sku: Mapping[str, Any]) -> str:
    """Restrictions of single zones leave the type orderable in the others."""
    for restriction in map(_mapping, sku.get("restrictions") or ()):
        if restriction.get("type") == "Location":
            return str(restriction.get("reasonCode") or "Restricted")
    return ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
