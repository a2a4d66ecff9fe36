"""/metrics, optionally only for those whom the cluster's own authentication and RBAC let in.

With authorisation on, the bearer token goes to TokenReview and the user it names to SubjectAccessReview (verb `get` on the
non-resource URL `/metrics`): no token or a bad one gives 401, a good one without the right 403, trouble asking 500. Answers are
cached, keyed by a hash, because a scraper comes every few seconds and a token must not lie about in memory longer than needed.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import ApiError
from controller_runtime.logs import get_logger
from controller_runtime.manager.http_server import Handler, HttpRequest, Reply
from controller_runtime.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS, Object

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
AUTHENTICATED_FOR_S = 60.0
ALLOWED_FOR_S = 300.0
DENIED_FOR_S = 30.0
MAX_CACHED = 1024

log = get_logger(__name__)


def metrics_handler(registry: CollectorRegistry, access: AccessReviewer | None) -> Handler:
    """Serve `registry`; with `access`, only to those it lets in."""

    def handle(query: HttpRequest) -> Reply:
        if query.path != "/metrics":
            return Reply.text(404, "not found; try /metrics\n")
        refusal = access.refusal(query) if access is not None else None
        return refusal or Reply(200, generate_latest(registry), CONTENT_TYPE)

    return handle


@dataclass(frozen=True, slots=True)
class _User:
    """Who a token belongs to, as TokenReview said; None of it is ever logged or shown."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: tuple[tuple[str, tuple[str, ...]], ...]


class _Cache:
    """Answers that hold for a while; bounded, the oldest go first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Any, tuple[float, Any]] = OrderedDict()

    def get(self, key: Any) -> Any:
        with self._lock:
            until, value = self._entries.get(key, (0.0, None))
            return value if self._clock.monotonic() < until else None

    def put(self, key: Any, value: Any, for_s: float) -> None:
        with self._lock:
            self._entries[key] = (self._clock.monotonic() + for_s, value)
            self._entries.move_to_end(key)
            if len(self._entries) > MAX_CACHED:
                self._entries.popitem(last=False)


class AccessReviewer:
    """Asks the API server who a token is and whether they may scrape. `client` must be an unguarded one: reviews are POSTs."""

    def __init__(self, client: KubeClient, clock: Clock = SYSTEM_CLOCK) -> None:
        self._client = client
        self._users = _Cache(clock)
        self._verdicts = _Cache(clock)

    def refusal(self, query: HttpRequest) -> Reply | None:
        """The reply that turns this request away, or None when it may pass."""
        scheme, _, token = (query.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Reply.text(401, "Unauthorized: send a bearer token\n")
        try:
            user = self._authenticate(token.strip())
            if user is None:
                return Reply.text(401, "Unauthorized: the token was not accepted\n")
            if not self._may_get(user, query.path):
                return Reply.text(403, f"Forbidden: needs the verb get on the non-resource URL {query.path}\n")
        except ApiError as error:
            log.warning("cannot review access to metrics", error=str(error))
            return Reply.text(500, "cannot review access now\n")
        return None

    def _authenticate(self, token: str) -> _User | None:
        key = hashlib.sha256(token.encode()).digest()
        known = self._users.get(key)
        if known is None:
            review = {
                "apiVersion": TOKEN_REVIEWS.api_version,
                "kind": TOKEN_REVIEWS.kind,
                "metadata": {},
                "spec": {"token": token},
            }
            status = self._client.create(TOKEN_REVIEWS, review).get("status") or {}
            if not status.get("authenticated"):
                return None
            known = _user_of(status.get("user") or {})
            self._users.put(key, known, AUTHENTICATED_FOR_S)
        return known if isinstance(known, _User) else None

    def _may_get(self, user: _User, path: str) -> bool:
        verdict = self._verdicts.get((user, path))
        if verdict is None:
            verdict = self._ask(user, path)
            self._verdicts.put((user, path), verdict, ALLOWED_FOR_S if verdict else DENIED_FOR_S)
        return bool(verdict)

    def _ask(self, user: _User, path: str) -> bool:
        review = {
            "apiVersion": SUBJECT_ACCESS_REVIEWS.api_version,
            "kind": SUBJECT_ACCESS_REVIEWS.kind,
            "metadata": {},
            "spec": {
                "user": user.name,
                "uid": user.uid,
                "groups": list(user.groups),
                "extra": {key: list(values) for key, values in user.extra},
                "nonResourceAttributes": {"path": path, "verb": "get"},
            },
        }
        status = self._client.create(SUBJECT_ACCESS_REVIEWS, review).get("status") or {}
        return bool(status.get("allowed")) and not status.get("denied")


def _user_of(user: Object) -> _User:
    extra = tuple(sorted((key, tuple(values)) for key, values in (user.get("extra") or {}).items()))
    return _User(str(user.get("username", "")), str(user.get("uid", "")), tuple(user.get("groups") or ()), extra)
