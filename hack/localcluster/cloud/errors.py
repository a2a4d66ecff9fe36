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


def pool_not_found(at: Place) -> ArmError:
    """The code is exactly `NotFound`: the pool is missing, its cluster is there."""
    return ArmError(404, "NotFound", f"Agent Pool not found: the agent pool {at.pool} does not exist in {at.cluster}.")


def cluster_not_found(at: Place) -> ArmError:
    """`ResourceNotFound`: the cluster itself is missing, which is a configuration error of the caller."""
    resource = f"Microsoft.ContainerService/managedClusters/{at.cluster}"
    where = f"The Resource '{resource}' under resource group '{at.resource_group}' was not found."
    return ArmError(
        404,
        "ResourceNotFound",
        f"{where} For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        wrapped=True,
    )


def resource_group_not_found(at: Place) -> ArmError:
    """404 of the Resource Manager."""
    return ArmError(
        404, "ResourceGroupNotFound", f"Resource group '{at.resource_group}' could not be found.", wrapped=True
    )


def subscription_not_found(at: Place) -> ArmError:
    """404 of the Resource Manager."""
    return ArmError(
        404, "SubscriptionNotFound", f"The subscription '{at.subscription}' could not be found.", wrapped=True
    )


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


def sku_not_allowed(at: Place) -> ArmError:
    """400: the subscription may not use this size here (or no such size exists)."""
    return ArmError(
        400,
        "BadRequest",
        f"The VM size of {at.vm_size} is not allowed in your subscription in location '{at.location}'. "
        "For more details, please see https://aka.ms/aks/quotas-skus-regions",
    )


def family_quota(at: Place) -> ArmError:
    """400: the size family's cores are used up; refused before anything is made."""
    return ArmError(
        400,
        "ErrCode_InsufficientVCPUQuota",
        f"Insufficient vcpu quota requested {at.cores}, remaining {max(0, at.limit - at.used)} for family {at.family} for region "
        f"{at.location}. Surge nodes would also consume vcpu quota, please consider use smaller maxSurge or use maxUnavailable.",
    )


def compute_quota(at: Place, scope: str) -> ArmError:
    """What the compute provider says when VMs are made: scope is `Total Regional` or `<family>`. Same code as `busy`, other meaning."""
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation could not be completed as it results in exceeding approved {scope} Cores quota. Additional details - Deployment "
        f"Model: Resource Manager, Location: {at.location}, Current Limit: {at.limit}, Current Usage: {at.used}, Additional "
        f"Required: {at.cores}, (Minimum) New Limit Required: {at.used + at.cores}. Submit a request for Quota increase at "
        "https://aka.ms/ProdportalCRP/#blade/Microsoft_Azure_Capacity/UsageAndQuota.ReactView",
    )


def sku_not_available(at: Place) -> ArmError:
    """The size is restricted in the region for now; seen when VMs are made."""
    return ArmError(
        409,
        "SkuNotAvailable",
        "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: "
        f"{at.vm_size}' is currently not available in location '{at.location}'. Please try another size or deploy to a different "
        "location or different zone. See https://aka.ms/azureskunotavailable for details.",
    )


def allocation_failed(at: Place) -> ArmError:
    """No hardware free at the moment; seen when VMs are made."""
    return ArmError(
        409,
        "AllocationFailed",
        f"Allocation failed. We do not have sufficient capacity for the requested VM size {at.vm_size} in this region "
        f"({at.location}). Read more about improving likelihood of allocation success at "
        "https://aka.ms/allocation-guidance",
    )


def zonal_allocation_failed(at: Place) -> ArmError:
    """No hardware free in the zone."""
    return ArmError(
        409,
        "ZonalAllocationFailed",
        f"Allocation failed. We do not have sufficient capacity for the requested VM size {at.vm_size} in this zone.",
    )


def authorization_failed(at: Place) -> ArmError:
    """403: the identity is known and lacks the role."""
    scope = f"/subscriptions/{at.subscription}/resourceGroups/{at.resource_group}"
    return ArmError(
        403,
        "AuthorizationFailed",
        "The client '00000000-0000-0000-0000-000000000001' does not have authorization to perform action "
        f"'Microsoft.ContainerService/managedClusters/agentPools/write' over scope '{scope}' or the scope is invalid. If access "
        "was recently granted, please refresh your credentials.",
        wrapped=True,
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


def etag_not_expected(at: Place) -> ArmError:
    """What a pool operation ends with when another writer came in between."""
    return ArmError(412, "OriginalEtagNotExpect", f"The etag of agent pool {at.pool} is not the expected one.")


def preempted(at: Place) -> ArmError:
    """A later operation on the cluster pushed this one aside."""
    return ArmError(
        409, "ResourceOperationFailure", f"The operation on agent pool {at.pool} was preempted by a later operation."
    )


def internal(at: Place) -> ArmError:
    """500."""
    return ArmError(500, "InternalOperationError", f"Internal server error on agent pool {at.pool}.")


NAMED: dict[str, Callable[[Place], ArmError]] = {
    "family_quota": family_quota,
    "regional_quota": lambda at: compute_quota(at, "Total Regional"),
    "compute_family_quota": lambda at: compute_quota(at, at.family or "standardNCSv3Family"),
    "sku_not_allowed": sku_not_allowed,
    "sku_not_available": sku_not_available,
    "allocation_failed": allocation_failed,
    "zonal_allocation_failed": zonal_allocation_failed,
    "overconstrained": lambda at: ArmError(
        409,
        "OverconstrainedAllocationRequest",
        f"Allocation failed. VM(s) with the following constraints cannot be allocated: VM size {at.vm_size}.",
    ),
    "busy": lambda at: busy(at.pool, "Updating"),
    "precondition_failed": lambda at: precondition_failed(f"The agent pool {at.pool} was changed by another writer."),
    "etag_not_expected": etag_not_expected,
    "preempted": preempted,
    "invalid_parameter": lambda at: invalid_parameter(f"The value of a parameter of agent pool {at.pool} is invalid."),
    "authorization_failed": authorization_failed,
    "unauthenticated": unauthenticated,
    "cluster_not_found": cluster_not_found,
    "pool_not_found": pool_not_found,
    "throttled": throttled,
    "internal": internal,
}
"""The errors that a test or the admin endpoint can ask for by name."""
