"""Status errors: what the API server answers when it refuses, with the codes, reasons, texts and causes of Kubernetes.

Raised anywhere below the HTTP handler and encoded by it. The texts follow `apimachinery/pkg/api/errors`, because people grep for them
and `kubectl` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hack.localcluster.apiserver.registry import ResourceType

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Expired",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One entry of a Status's `details.causes`; `message` is without the field."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def to_json(self) -> dict[str, str]:
        """As it travels."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class StatusError(Exception):
    """A refusal: HTTP `code`, the machine-readable `reason`, the text, and `details`; `warnings` go with it as headers."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason if reason is not None else REASONS.get(code, "")
        self.message = message
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s
        self.warnings: tuple[str, ...] = ()
        if retry_after_s is not None:
            self.details.setdefault("retryAfterSeconds", max(1, round(retry_after_s)))

    def to_status(self) -> dict[str, Any]:
        """The Status object."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


class UndecodableError(StatusError):
    """400: JSON that Go's type for the kind cannot hold. What a patch has made of an object is 422 instead (`as_patched`)."""

    def __init__(self, kind: ResourceType, why: str) -> None:
        super().__init__(400, f"{kind.kind} in version {kind.version!r} cannot be handled as a {kind.kind}: {why}")
        self.why = why

    def as_patched(self) -> StatusError:
        """The same about the result of a patch, which the sender has not written."""
        cause = Cause("patch", f"Invalid value: {self.why}")
        return StatusError(422, f' "" is invalid: patch: {cause.message}', details={"causes": [cause.to_json()]})


def _details(kind: ResourceType, name: str) -> dict[str, Any]:
    details = {"name": name, "kind": kind.plural}
    if kind.group:
        details["group"] = kind.group
    return details


def not_found(kind: ResourceType, name: str) -> StatusError:
    """404 for an object."""
    return StatusError(404, f'{kind.qualified} "{name}" not found', details=_details(kind, name))


def no_such_path() -> StatusError:
    """404 for a URL or a resource type that is not served."""
    return StatusError(404, "the server could not find the requested resource", details={})


def already_exists(kind: ResourceType, name: str) -> StatusError:
    """409 for a create."""
    message = f'{kind.qualified} "{name}" already exists'
    return StatusError(409, message, reason="AlreadyExists", details=_details(kind, name))


def conflict(kind: ResourceType, name: str, why: str = "") -> StatusError:
    """409 for a stale resourceVersion or a failed precondition."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}'
    return StatusError(409, message, details=_details(kind, name))


def invalid(kind: ResourceType, name: str, causes: Iterable[Cause]) -> StatusError:
    """422 with one cause per wrong field."""
    head = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    return _invalid(head, _details(kind, name) | {"kind": kind.kind}, causes)


def invalid_options(kind: str, name: str, causes: Iterable[Cause]) -> StatusError:
    """422 for options of a request, which are no resource."""
    return _invalid(kind, {"name": name, "kind": kind}, causes)


def _invalid(head: str, details: dict[str, Any], causes: Iterable[Cause]) -> StatusError:
    found = list(causes)
    texts = [f"{cause.field}: {cause.message}" for cause in found]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = details | {"causes": [cause.to_json() for cause in found]}
    return StatusError(422, f'{head} "{details["name"]}" is invalid: {text}', details=details)


def forbidden(kind: ResourceType, name: str, why: str, causes: Iterable[Cause] = ()) -> StatusError:
    """403 by authorization or admission."""
    details = _details(kind, name)
    found = [cause.to_json() for cause in causes]
    if found:
        details["causes"] = found
    quoted = f' "{name}"' if name else ""
    return StatusError(403, f"{kind.qualified}{quoted} is forbidden: {why}", details=details)


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, message)


def expired(message: str) -> StatusError:
    """410: the resourceVersion or the continue token points before the compaction."""
    return StatusError(410, message)


def too_large_resource_version(asked: int, current: int) -> StatusError:
    """504: the caller has seen a future that this server has not."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(
        504,
        f"Timeout: Too large resource version: {asked}, current: {current}",
        details={"causes": [cause]},
        retry_after_s=1,
    )


def method_not_allowed() -> StatusError:
    """405."""
    return StatusError(405, "the server does not allow this method on the requested resource")


def unreadable(accepted: Iterable[str]) -> StatusError:
    """415."""
    text = "the body of the request was in an unknown format - accepted media types include: "
    return StatusError(415, text + ", ".join(accepted))


def unsupported(what: str) -> StatusError:
    """501: something that a real cluster has and this one does not; never an almost right answer."""
    return StatusError(501, f"localcluster does not support {what}", reason="NotImplemented")
