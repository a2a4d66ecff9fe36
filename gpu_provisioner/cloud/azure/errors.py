"""Which Azure answer means which CloudError: tables of codes and statuses. Knows no Azure library.

The code decides where it is specific, the HTTP status where it is not. Three codes mean different things in one and the same reply
shape, and Azure tells them apart in its text only; they are listed in `_AMBIGUOUS` with the phrase that decides, and an unknown
phrase falls back to the harmless reading. Numbers in texts are parsed for people and never decide anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpu_provisioner.api.wording import essence
from gpu_provisioner.cloud import port

CODES: Mapping[str, type[port.CloudError]] = {
    "QuotaExceeded": port.Quota,
    "ErrCode_InsufficientVCPUQuota": port.Quota,
    "InsufficientVCPUQuota": port.Quota,
    "SkuNotAvailable": port.SkuNotOffered,
    "VMSizeNotSupported": port.SkuNotOffered,
    "VMSizeDoesNotSupportZone": port.SkuNotOffered,
    "AvailabilityZoneNotSupported": port.SkuNotOffered,
    "AllocationFailed": port.Capacity,
    "ZonalAllocationFailed": port.Capacity,
    "OverconstrainedAllocationRequest": port.Capacity,
    "OverconstrainedZonalAllocationRequest": port.Capacity,
    "AnotherOperationInProgress": port.Busy,
    "OriginalEtagNotExpect": port.ConflictingWriter,
    "EtagMismatch": port.ConflictingWriter,
    "PropertyChangeNotAllowed": port.ConflictingWriter,
    "InvalidParameter": port.InvalidInput,
    "InvalidTemplateDeployment": port.InvalidInput,
    "InvalidRequestContent": port.InvalidInput,
    "InvalidTaints": port.InvalidInput,
    "RequestDisallowedByPolicy": port.InvalidInput,
    "AuthorizationFailed": port.Auth,
    "LinkedAuthorizationFailed": port.Auth,
    "ExpiredAuthenticationToken": port.Auth,
    "InvalidAuthenticationToken": port.Auth,
    "InvalidAuthenticationTokenTenant": port.Auth,
    "SubscriptionNotFound": port.Auth,
    "ResourceGroupNotFound": port.Auth,
    "ResourceNotFound": port.Auth,
    "ParentResourceNotFound": port.Auth,
    "ReadOnlyDisabledSubscription": port.Auth,
    "TooManyRequests": port.Throttled,
    "SubscriptionRequestsThrottled": port.Throttled,
}
"""Codes with one meaning. A missing *cluster* or group is a wrong setting, not a missing pool."""

STATUSES: Mapping[int, type[port.CloudError]] = {
    400: port.InvalidInput,
    401: port.Auth,
    403: port.Auth,
    409: port.Busy,
    412: port.ConflictingWriter,
    429: port.Throttled,
}
"""For codes that are not in the table."""

_AMBIGUOUS: Mapping[str, tuple[re.Pattern[str], type[port.CloudError]]] = {
    "OperationNotAllowed": (re.compile(r"\bquota\b|Additional Required: *\d", re.IGNORECASE), port.Quota),
    "BadRequest": (re.compile(r"not allowed in your subscription", re.IGNORECASE), port.SkuNotOffered),
    "ResourceOperationFailure": (re.compile(r"\bpreempted by\b", re.IGNORECASE), port.ConflictingWriter),
}

_POOL_MISSING = "NotFound"
_TEXT_LIMIT = 1000
_READ = 20_000
"""Characters of a message that are looked at."""


def classify(
    status: int | None, code: str, message: str, *, creating: bool = False, retry_after_s: float | None = None
) -> port.CloudError:
    """The error for one reply. `status` None: there was no reply; 200: an operation that was accepted and ended badly.

    `creating`: the request was create-only, so that 412 means that the pool exists.
    """
    text = " ".join(message[:_READ].split()) or f"Azure answered {status} without a message"
    kind = _kind(status, code, text, creating=creating)
    cure = _quota_cure(text) if kind is port.Quota else None
    said = essence(text, _TEXT_LIMIT)
    return kind(said, code=code, status=status, retry_after_s=retry_after_s, cure=cure)


def _kind(status: int | None, code: str, text: str, *, creating: bool) -> type[port.CloudError]:
    if code in CODES:
        return CODES[code]
    if code in _AMBIGUOUS and _AMBIGUOUS[code][0].search(text):
        return _AMBIGUOUS[code][1]
    if status == 412 and creating:
        return port.AlreadyThere
    if status == 404:
        return port.PoolNotFound if code == _POOL_MISSING and not creating else port.Auth
    return STATUSES.get(status, port.Unknown) if status is not None else port.Unknown


def _quota_cure(text: str) -> str | None:
    """`Ask Azure for 6 more cores of standardNCSv3Family in eastus ...`, as far as the text has the numbers."""
    numbers = _compute_numbers(text) or _aks_numbers(text)
    if numbers is None:
        return None
    missing, what, region, detail = numbers
    return f"Ask Azure for at least {missing} more cores of {what} in {region} ({detail}), or free some; retried every few minutes."


def _compute_numbers(text: str) -> tuple[int, str, str, str] | None:
    """The compute provider: `approved <family> Cores quota` or `LowPriorityCores quota`, then Location, Current Limit, Current Usage,
    Additional Required."""
    limit, usage, required = (_number(text, k) for k in ("Current Limit", "Current Usage", "Additional Required"))
    if limit is None or usage is None or required is None:
        return None
    scope = re.search(r"approved ([\w .-]{1,60}?)(?: Cores)? quota", text)
    region = re.search(r"Location: *([\w-]{1,40})", text)
    return (
        max(1, usage + required - limit),
        scope[1] if scope else "this VM family",
        region[1] if region else "this region",
        f"limit {limit}, in use {usage}, needed {required}",
    )


def _aks_numbers(text: str) -> tuple[int, str, str, str] | None:
    """AKS itself: `requested 6, remaining 0 for family standardNCSv3Family for region eastus`."""
    found = re.search(
        r"requested (\d{1,9}), remaining (\d{1,9}) for family ([\w-]{1,60}) for region ([\w-]{1,40})", text
    )
    if found is None:
        return None
    requested, remaining = int(found[1]), int(found[2])
    return max(1, requested - remaining), found[3], found[4], f"needed {requested}, remaining {remaining}"


def _number(text: str, name: str) -> int | None:
    found = re.search(rf"{name}: *(\d{{1,9}})", text)
    return int(found[1]) if found else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the reply asks to wait; None when it does not, or says it in a form that is not a number."""
    lowered = {key.lower(): value for key, value in headers.items()}
    for name, unit_s in (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = lowered.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
            return min(float(text) * unit_s, 3600.0)
    return None
