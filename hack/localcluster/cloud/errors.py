"""What Azure says when it says no: one builder per error class that a provisioner must tell apart.

Codes, statuses and the phrases that programs are known to match on are Azure's; they are the reason for this module. Two body shapes
exist in reality and are both kept: the resource provider of AKS answers flat (`{"code", "details", "message", "subcode"}`), the
Resource Manager in front of it answers wrapped (`{"error": {...}}`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PENDING_URL = "https://aka.ms/aks-pending-operation"


@dataclass(eq=False)
class ArmError(Exception):
    """A refusal: HTTP status, Azure's code and message, extra headers, and whether the front end wraps the body."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    wrapped: bool = False
    subcode: str = ""

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def body(self) -> dict[str, Any]:
        """The response body in the shape of its author."""
        if self.wrapped:
            return {"error": {"code": self.code, "message": self.message}}
        return {"code": self.code, "details": None, "message": self.message, "subcode": self.subcode}

    def operation_error(self) -> dict[str, Any]:
        """The `error` object of a long-running operation that ended this way."""
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Place:
    """Where and what a request is about; enough to fill every message."""

    subscription: str = ""
    resource_group: str = ""
    cluster: str = ""
    location: str = ""
    pool: str = ""
    vm_size: str = ""
    family: str = ""
    cores: int = 0
    limit: int = 0
    used: int = 0


def _saying(status: int, code: str, text: str, *, wrapped: bool = False) -> Callable[[Place], ArmError]:
    """The builder of one error; what is in braces comes from the Place."""
    return lambda at: ArmError(status, code, text.format(at=at), wrapped=wrapped)


pool_not_found = _saying(
    404, "NotFound", "Agent Pool not found: the agent pool {at.pool} does not exist in {at.cluster}."
)
"""The code is exactly `NotFound`: the pool is missing, its cluster is there."""
cluster_not_found = _saying(
    404,
    "ResourceNotFound",
    "The Resource 'Microsoft.ContainerService/managedClusters/{at.cluster}' under resource group '{at.resource_group}' was not found. "
    "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    wrapped=True,
)
"""`ResourceNotFound`: the cluster itself is missing, which is a configuration error of the caller."""
resource_group_not_found = _saying(
    404, "ResourceGroupNotFound", "Resource group '{at.resource_group}' could not be found.", wrapped=True
)
subscription_not_found = _saying(
    404, "SubscriptionNotFound", "The subscription '{at.subscription}' could not be found.", wrapped=True
)
sku_not_allowed = _saying(
    400,
    "BadRequest",
    "The VM size of {at.vm_size} is not allowed in your subscription in location '{at.location}'. "
    "For more details, please see https://aka.ms/aks/quotas-skus-regions",
)
"""The subscription may not use this size here (or no such size exists); refused at the request."""
sku_not_available = _saying(
    409,
    "SkuNotAvailable",
    "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: "
    "{at.vm_size}' is currently not available in location '{at.location}'. Please try another size or deploy to a different "
    "location or different zone. See https://aka.ms/azureskunotavailable for details.",
)
"""The size is restricted in the region for now; seen, as are the next three, when VMs are made."""
allocation_failed = _saying(
    409,
    "AllocationFailed",
    "Allocation failed. We do not have sufficient capacity for the requested VM size {at.vm_size} in this region ({at.location}). "
    "Read more about improving likelihood of allocation success at https://aka.ms/allocation-guidance",
)
zonal_allocation_failed = _saying(
    409,
    "ZonalAllocationFailed",
    "Allocation failed. We do not have sufficient capacity for the requested VM size {at.vm_size} in this zone.",
)
_overconstrained = _saying(
    409,
    "OverconstrainedAllocationRequest",
    "Allocation failed. VM(s) with the following constraints cannot be allocated: VM size {at.vm_size}.",
)
_authorization_failed = _saying(
    403,
    "AuthorizationFailed",
    "The client '00000000-0000-0000-0000-000000000001' does not have authorization to perform action "
    "'Microsoft.ContainerService/managedClusters/agentPools/write' over scope "
    "'/subscriptions/{at.subscription}/resourceGroups/{at.resource_group}' or the scope is invalid. If access "
    "was recently granted, please refresh your credentials.",
    wrapped=True,
)
"""The identity is known and lacks the role."""
_etag_not_expected = _saying(412, "OriginalEtagNotExpect", "The etag of agent pool {at.pool} is not the expected one.")
"""What a pool operation ends with when another writer came in between."""
_preempted = _saying(
    409, "ResourceOperationFailure", "The operation on agent pool {at.pool} was preempted by a later operation."
)
internal = _saying(500, "InternalOperationError", "Internal server error on agent pool {at.pool}.")


def missing_api_version() -> ArmError:
    """400: every ARM request names its api-version."""
    return ArmError(
        400,
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
        wrapped=True,
    )


def invalid_api_version(asked: str, known: str) -> ArmError:
    """400: the api-version is not one that the resource type has."""
    return ArmError(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for API version '{asked}' for type 'managedClusters/agentPools'. "
        f"The supported api-versions are '{known}'.",
        wrapped=True,
    )


def invalid_parameter(message: str) -> ArmError:
    """400: a name, label, taint or property that AKS does not take."""
    return ArmError(400, "InvalidParameter", message)


def change_not_allowed(prop: str) -> ArmError:
    """400: a property that is fixed once the pool exists."""
    return ArmError(400, "PropertyChangeNotAllowed", f"Changing property '{prop}' is not allowed.")


def busy(pool: str, state: str) -> ArmError:
    """409: another operation on the pool has not ended. It is no statement about whether the pool exists."""
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed: Another agentpool operation ({pool} - {state}) is in progress, please wait for it to "
        f"finish before starting a new operation. See {PENDING_URL} for more details",
    )


def precondition_failed(message: str) -> ArmError:
    """412: If-Match or If-None-Match did not hold."""
    return ArmError(412, "PreconditionFailed", message)


def system_pool_needed() -> ArmError:
    """400: the last system pool stays."""
    return ArmError(400, "BadRequest", "There has to be at least one system agent pool.")


def family_quota(at: Place) -> ArmError:
    """400: the size family's cores are used up; refused before anything is made."""
    return ArmError(
        400,
        "ErrCode_InsufficientVCPUQuota",
        f"Insufficient vcpu quota requested {at.cores}, remaining {max(0, at.limit - at.used)} for family {at.family} for region "
        f"{at.location}. Surge nodes would also consume vcpu quota, please consider use smaller maxSurge or use maxUnavailable.",
    )


def compute_quota(at: Place, scope: str) -> ArmError:
    """What the compute provider says when VMs are made: scope is `Total Regional Cores`, `<family> Cores` or `LowPriorityCores`.

    Same code as `busy`, other meaning."""
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation could not be completed as it results in exceeding approved {scope} quota. Additional details - Deployment "
        f"Model: Resource Manager, Location: {at.location}, Current Limit: {at.limit}, Current Usage: {at.used}, Additional "
        f"Required: {at.cores}, (Minimum) New Limit Required: {at.used + at.cores}. Submit a request for Quota increase at "
        "https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_Capacity/UsageAndQuota.ReactView",
    )


def unauthenticated(_: Place) -> ArmError:
    """401: the token is missing, foreign or expired."""
    return ArmError(
        401,
        "ExpiredAuthenticationToken",
        "The access token expiry UTC time is earlier than current UTC time.",
        headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        wrapped=True,
    )


def throttled(at: Place, retry_after_s: float = 5.0) -> ArmError:
    """429 with Retry-After in whole seconds, as the subscription's bucket runs dry."""
    whole = max(1, round(retry_after_s))
    return ArmError(
        429,
        "SubscriptionRequestsThrottled",
        f"Number of write requests for subscription '{at.subscription}' actor exceeded. Please try again after '{whole}' seconds.",
        headers={"Retry-After": str(whole)},
        wrapped=True,
    )


NAMED: dict[str, Callable[[Place], ArmError]] = {
    "family_quota": family_quota,
    "regional_quota": lambda at: compute_quota(at, "Total Regional Cores"),
    "compute_family_quota": lambda at: compute_quota(at, f"{at.family or 'standardNCSv3Family'} Cores"),
    "sku_not_allowed": sku_not_allowed,
    "sku_not_available": sku_not_available,
    "allocation_failed": allocation_failed,
    "zonal_allocation_failed": zonal_allocation_failed,
    "overconstrained": _overconstrained,
    "busy": lambda at: busy(at.pool, "Updating"),
    "precondition_failed": lambda at: precondition_failed(f"The agent pool {at.pool} was changed by another writer."),
    "etag_not_expected": _etag_not_expected,
    "preempted": _preempted,
    "invalid_parameter": lambda at: invalid_parameter(f"The value of a parameter of agent pool {at.pool} is invalid."),
    "authorization_failed": _authorization_failed,
    "unauthenticated": unauthenticated,
    "cluster_not_found": cluster_not_found,
    "pool_not_found": pool_not_found,
    "throttled": throttled,
    "internal": internal,
}
"""The errors that a test or the admin endpoint can ask for by name."""
