"""What can go wrong, as one small tree; one base class per decision that a caller can make.

    ControllerRuntimeError
    ├── ApiError                     the API server answered with a Status, or did not answer
    │   ├── TransientApiError        try again later, not sooner than retry_after_s
    │   │   ├── ConnectionFailed     no (whole) reply: a write may or may not have happened
    │   │   │   ├── MalformedReply   what arrived is not what the API speaks
    │   │   │   └── WatchStalled     a watch fell silent for longer than a live one would
    │   │   ├── TooManyRequests      429
    │   │   ├── ServerTimeout        504 Timeout, 500 ServerTimeout, "too large resource version"
    │   │   ├── ServiceUnavailable   503
    │   │   └── InternalError        any other 5xx
    │   ├── Conflict                 409 Conflict: somebody wrote first; read again
    │   ├── AlreadyExists            409 AlreadyExists: the name is taken (perhaps by our own lost create)
    │   └── TerminalApiError         the same request will fail again until something else changes
    │       ├── NotFound 404   Expired 410   Invalid 422   BadRequest 400   Forbidden 403   Unauthorized 401
    │       └── MethodNotAllowed 405   UnsupportedMediaType 415   RequestTooLarge 413
    ├── TerminalError                raised by a reconciler: do not retry until the object changes
    └── FatalError                   the process must stop

Exceptions of the libraries underneath (urllib3, kubernetes) never leave `client/`; they travel as `__cause__`. Decisions are
made on class, code and reason, never on message text.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class ControllerRuntimeError(Exception):
    """Root of everything this package raises on purpose."""


class TerminalError(ControllerRuntimeError):
    """A reconciler's way to say: retrying will not help until the object or its surroundings change."""


class FatalError(ControllerRuntimeError):
    """The process cannot go on (lost lease, unusable configuration); the manager stops with a non-zero exit code."""


class ApiError(ControllerRuntimeError):
    """A failed call to the API server.

    Attributes: `code` HTTP status, None when there was no reply; `reason` the Status reason such as `NotFound` ("" if none);
    `message` for people; `details` the Status details object; `retry_after_s` what the server asked for, in seconds; `call` the
    verb and path, such as `GET /api/v1/nodes/n1`.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        call: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.details: Mapping[str, Any] = details or {}
        self.retry_after_s = retry_after_s
        self.call = call

    def __str__(self) -> str:
        head = f"{self.call}: " if self.call else ""
        tail = f" ({self.code} {self.reason})" if self.code is not None else ""
        return f"{head}{self.message}{tail}"


class TransientApiError(ApiError):
    """Worth another try after a pause."""


class ConnectionFailed(TransientApiError):
    """No complete reply arrived: the request may have been carried out or not."""


class MalformedReply(ConnectionFailed):
    """A reply or a watch frame that is not JSON, or not an object: a proxy's error page, a cut body, a server gone mad."""


class WatchStalled(ConnectionFailed):
    """No frame and no end for longer than the bookmarks of a live server allow; the peer is taken for dead."""


class TooManyRequests(TransientApiError):
    """429: the server (or a PodDisruptionBudget, for evictions) asks for patience."""


class ServerTimeout(TransientApiError):
    """The server gave up waiting; also a watch cache that has not caught up with the asked resourceVersion."""


class ServiceUnavailable(TransientApiError):
    """503."""


class InternalError(TransientApiError):
    """500 and other 5xx."""


class Conflict(ApiError):
    """409 Conflict: a resourceVersion, UID or field-manager precondition did not hold. Read again, then decide again."""


class AlreadyExists(ApiError):
    """409 AlreadyExists: an object of that name is there."""


class TerminalApiError(ApiError):
    """The same request will be refused again until something else changes."""


class NotFound(TerminalApiError):
    """404: no such object, or no such resource type (its CRD is not installed)."""


class Expired(TerminalApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(TerminalApiError):
    """422: the object breaks its schema or an admission rule; `details["causes"]` names the fields."""


class BadRequest(TerminalApiError):
    """400."""


class Unauthorized(TerminalApiError):
    """401: the credentials were refused, after one refresh."""


class Forbidden(TerminalApiError):
    """403: RBAC or admission said no."""


class MethodNotAllowed(TerminalApiError):
    """405."""


class RequestTooLarge(TerminalApiError):
    """413."""


class UnsupportedMediaType(TerminalApiError):
    """415: this server does not take that kind of patch for that resource."""


class Meaning(Enum):
    """What a controller does about an error (see `design` rule: errors have four meanings)."""

    TRANSIENT = "transient"
    CONFLICT = "conflict"
    TERMINAL = "terminal"
    FATAL = "fatal"


def meaning_of(error: BaseException) -> Meaning:
    """Which of the four meanings an error has; anything unknown counts as transient, so that it is retried with backoff."""
    if isinstance(error, FatalError):
        return Meaning.FATAL
    if isinstance(error, Conflict | AlreadyExists):
        return Meaning.CONFLICT
    if isinstance(error, TerminalError | TerminalApiError):
        return Meaning.TERMINAL
    return Meaning.TRANSIENT
