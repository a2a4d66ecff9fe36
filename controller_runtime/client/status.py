"""From what the API server answers to the error tree.

The HTTP code chooses the class and the Status reason refines it where one code has two meanings (409, 5xx, in-stream ERROR events
that carry no code). Message text is for people; the one exception is named where it happens.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from controller_runtime import errors
from controller_runtime.errors import ApiError

MAX_MESSAGE_CHARS = 1024
MAX_RETRY_AFTER_S = 3600.0
TOO_LARGE_CAUSE = "ResourceVersionTooLarge"
EVICTION_CAUSE = "DisruptionBudget"

_BY_CODE: Mapping[int, type[ApiError]] = {
    400: errors.BadRequest,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    409: errors.Conflict,
    410: errors.Expired,
    413: errors.RequestTooLarge,
    415: errors.UnsupportedMediaType,
    422: errors.Invalid,
    429: errors.TooManyRequests,
    503: errors.ServiceUnavailable,
    504: errors.ServerTimeout,
}

_BY_REASON: Mapping[str, type[ApiError]] = {
    "AlreadyExists": errors.AlreadyExists,
    "BadRequest": errors.BadRequest,
    "Conflict": errors.Conflict,
    "Expired": errors.Expired,
    "Forbidden": errors.Forbidden,
    "Gone": errors.Expired,
    "InternalError": errors.InternalError,
    "Invalid": errors.Invalid,
    "MethodNotAllowed": errors.MethodNotAllowed,
    "NotFound": errors.NotFound,
    "RequestEntityTooLarge": errors.RequestTooLarge,
    "ServerTimeout": errors.ServerTimeout,
    "ServiceUnavailable": errors.ServiceUnavailable,
    "Timeout": errors.ServerTimeout,
    "TooManyRequests": errors.TooManyRequests,
    "Unauthorized": errors.Unauthorized,
    "UnsupportedMediaType": errors.UnsupportedMediaType,
}

# Codes whose meaning the reason may change: a 409 is either a lost race or a taken name, a 5xx may be a mere timeout.
_REFINED_BY_REASON = frozenset({409, 500, 504})


def error_from_reply(
    code: int, body: bytes, headers: Mapping[str, str], *, call: str = "", now: datetime | None = None
) -> ApiError:
    """The error for a reply with a status other than 2xx; `body` may be anything, a proxy's HTML included."""
    status = _decode_status(body)
    retry_after_s = _header_retry_after_s(headers.get("Retry-After"), now)
    return error_from_status(status, code=code, retry_after_s=retry_after_s, call=call)


def error_from_status(
    status: Mapping[str, Any], *, code: int | None = None, retry_after_s: float | None = None, call: str = ""
) -> ApiError:
    """The error for a `metav1.Status`, as found in a reply body or in an ERROR event of a watch."""
    if code is None and isinstance(status.get("code"), int):
        code = status["code"]
    reason = str(status.get("reason") or "")
    details = status.get("details") if isinstance(status.get("details"), dict) else {}
    asked_s = [s for s in (retry_after_s, _details_retry_after_s(details or {})) if s is not None]
    found = errors.Conflict if _is_uid_precondition(details or {}) else _class_for(code, reason)
    return found(
        str(status.get("message") or f"the API server answered {code}")[:MAX_MESSAGE_CHARS],
        code=code,
        reason=reason,
        details=details,
        retry_after_s=min(max(asked_s), MAX_RETRY_AFTER_S) if asked_s else None,
        call=call,
    )


def is_resource_version_too_large(error: BaseException) -> bool:
    """True when the server's watch cache has not reached the asked resourceVersion (also: it was restored to an older state)."""
    if not isinstance(error, ApiError):
        return False
    if TOO_LARGE_CAUSE in _cause_reasons(error.details):
        return True
    # Servers before 1.17 name no cause; their message is the only sign, as client-go knows too.
    return isinstance(error, errors.ServerTimeout) and "Too large resource version" in error.message


def is_eviction_refusal(error: ApiError) -> bool:
    """True for the 429 that means "a PodDisruptionBudget forbids this eviction now" and not "the server is overloaded"."""
    return EVICTION_CAUSE in _cause_reasons(error.details)


def _is_uid_precondition(details: Mapping[str, Any]) -> bool:
    """Whether a UID did not fit: a PUT or delete that carries one gets a 409, a patch a 422 that calls `metadata.uid` immutable."""
    causes = details.get("causes")
    fields = [c.get("field") for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []
    return bool(fields) and set(fields) == {"metadata.uid"}


def _class_for(code: int | None, reason: str) -> type[ApiError]:
    by_reason = _BY_REASON.get(reason)
    if by_reason is not None and (code is None or code in _REFINED_BY_REASON):
        return by_reason
    if code is None:
        return errors.InternalError
    return _BY_CODE.get(code) or (errors.InternalError if code >= 500 else errors.TerminalApiError)


def _decode_status(body: bytes) -> Mapping[str, Any]:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {"message": " ".join(body[:MAX_MESSAGE_CHARS].decode("utf-8", "replace").split())}
    return decoded if isinstance(decoded, dict) else {"message": str(decoded)}


def _cause_reasons(details: Mapping[str, Any]) -> list[str]:
    causes = details.get("causes")
    return [str(c.get("reason", "")) for c in causes if isinstance(c, dict)] if isinstance(causes, list) else []


def _details_retry_after_s(details: Mapping[str, Any]) -> float | None:
    seconds = details.get("retryAfterSeconds")
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def _header_retry_after_s(text: str | None, now: datetime | None) -> float | None:
    """RFC 9110 §10.2.3: a number of seconds or an HTTP date; anything else is ignored."""
    if not text:
        return None
    try:
        return max(0.0, float(int(text)))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds()) if now is not None and moment.tzinfo is not None else None
