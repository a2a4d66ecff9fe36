"""Who is asking: bearer tokens of users, signed tokens of ServiceAccounts, impersonation.

PyJWT is imported on first use, to keep the server's start short.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.localcluster.apiserver.errors import StatusError
from hack.localcluster.apiserver.objects import Caller, Object
from hack.localcluster.apiserver.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_SERVICE_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and its groups."""

    user: str
    groups: tuple[str, ...]
    uid: str = ""


class Authenticator:
    """Knows the tokens. ServiceAccount tokens are JWTs signed with a key kept next to the CA, so that they survive a restart."""

    def __init__(self, store: Store, folder: Path, admin_token: str) -> None:
        self._store = store
        self._tokens = {admin_token: Identity("admin", ("system:masters", AUTHENTICATED))}
        key_file = folder / "service-account.key"
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_text(secrets.token_hex(32))
        self._key = key_file.read_text()

    def issue(self, user: str, groups: Sequence[str]) -> str:
        """A token that stays good as long as the server runs."""
        token = secrets.token_urlsafe(16)
        self._tokens[token] = Identity(user, tuple(dict.fromkeys([*groups, AUTHENTICATED])))
        return token

    def issue_service_account_token(self, account: Object, audiences: Sequence[str], seconds: int) -> tuple[str, int]:
        """A signed token for a ServiceAccount, and when it expires (Unix time)."""
        metadata, now = account["metadata"], int(time.time())
        namespace, name = metadata["namespace"], metadata["name"]
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "sub": f"{_SERVICE_ACCOUNT}{namespace}:{name}",
            "aud": list(audiences) or [ISSUER],
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": metadata["uid"]}},
        }
        import jwt

        return jwt.encode(claims, self._key, algorithm="HS256"), now + seconds

    def identify(self, token: str) -> Identity | None:
        """The owner of a token; None for a wrong, expired or orphaned one."""
        known = self._tokens.get(token)
        if known is not None:
            return known
        import jwt

        try:
            claims = jwt.decode(token, self._key, algorithms=["HS256"], audience=None, options={"verify_aud": False})
        except jwt.InvalidTokenError:
            return None
        bound = claims.get("kubernetes.io") or {}
        namespace, account = bound.get("namespace", ""), bound.get("serviceaccount") or {}
        entry = self._store.get(("", "serviceaccounts"), (namespace, account.get("name", "")))
        if entry is None or entry.obj["metadata"]["uid"] != account.get("uid"):
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return Identity(claims["sub"], groups, account["uid"])

    def caller(self, headers: Mapping[str, str], *, trusted: bool) -> Caller:
        """The caller of a request; 401 for a bad token. A `trusted` listener takes callers without a token for admins."""
        agent = headers.get("User-Agent", "")
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            identity = self.identify(token.strip())
            if identity is None:
                raise StatusError(401, "Unauthorized")
            return Caller(identity.user, identity.groups, agent, identity.uid)
        if scheme:
            raise StatusError(401, "Unauthorized")
        if trusted:
            return Caller("admin", ("system:masters", AUTHENTICATED), agent)
        return Caller("system:anonymous", (UNAUTHENTICATED,), agent)


def impersonated(caller: Caller, user: str, groups: Sequence[str]) -> Caller:
    """The caller as somebody else (after the permission was checked)."""
    if user.startswith(_SERVICE_ACCOUNT) and not groups:
        namespace = user.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    return Caller(user, tuple(dict.fromkeys([*groups, AUTHENTICATED])), caller.agent)
