"""The API server as a pod knows it: an address in the environment, a token and the certificate of its authority in a folder.

That is all, for which reason the `kubernetes` package stays out: it brings 8 MiB of modules and 0.1 s of CPU. The one thing that it is
asked for in a pod too is what a proxy in the environment means (`directly_in_a_pod`).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from urllib.request import getproxies_environment

import urllib3

from controller_runtime.client.connection import POOL_SIZE, WATCH_POOL_SIZE, keepalive_options, use_our_connections
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import FatalError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"
TOKEN_REREAD_S = 60.0
"""The kubelet replaces a token long before it ends."""


def in_a_pod() -> bool:
    """The kubelet has told us of an API server."""
    return bool(os.environ.get(HOST))


def directly_in_a_pod() -> bool:
    """In a pod, and its environment names no proxy on the way to the API server."""
    return in_a_pod() and not ({"https", "all"} & getproxies_environment().keys())


class InClusterEndpoint:
    """Implements `transport.Endpoint` for the service account of a pod, whose files are in `folder`.

    Raises `FatalError`, naming the file and the cure, when it cannot be used. The certificate is read anew for each connection.
    """

    def __init__(self, folder: Path = SERVICE_ACCOUNT, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._token_file = folder / "token"
        self._clock = clock
        self._lock = threading.Lock()
        self._host = _address()
        try:
            self._token = self._read_token()
            authority = folder / "ca.crt"
            authority.read_bytes()
        except (OSError, ValueError) as error:
            raise unusable(error) from error
        self._read_at = clock.monotonic()
        self._requests = _build_pool(str(authority), POOL_SIZE)
        self._watches = _build_pool(str(authority), WATCH_POOL_SIZE)

    @property
    def host(self) -> str:
        return self._host

    def pool(self, *, streaming: bool) -> urllib3.PoolManager:
        return self._watches if streaming else self._requests

    def authorization(self) -> str | None:
        with self._lock:
            if self._clock.monotonic() - self._read_at >= TOKEN_REREAD_S:
                self._read_again()
            return self._token

    def refresh(self, refused: str | None) -> bool:
        with self._lock:
            if self._token == refused:
                self._read_again()
            return self._token != refused

    def _read_again(self) -> None:
        """A file that cannot be read (it is being replaced) is no reason to forget a token that may still be good."""
        try:
            self._token = self._read_token()
        except (OSError, ValueError):
            return
        self._read_at = self._clock.monotonic()

    def _read_token(self) -> str:
        text = self._token_file.read_text(encoding="utf-8").strip()
        if not text:
            raise ValueError(f"{self._token_file} is empty")
        return f"Bearer {text}"


def _address() -> str:
    host, port = os.environ.get(HOST, ""), os.environ.get(PORT, "")
    if not host or not port:
        raise unusable(ValueError(f"{HOST} and {PORT} must both be set"))
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _build_pool(authority: str, size: int) -> urllib3.PoolManager:
    pool = urllib3.PoolManager(
        maxsize=size, retries=False, cert_reqs="CERT_REQUIRED", ca_certs=authority, socket_options=keepalive_options()
    )
    use_our_connections(pool)
    return pool


def unusable(error: Exception) -> FatalError:
    """What is said when the service account of a pod does not do, whoever reads it."""
    return FatalError(f"the pod's service account cannot be used: {error}; is automountServiceAccountToken on?")
