"""How the actors reach the API server that runs in the same process: address, CA and token are known, so no kubeconfig is read.

It saves the import of the `kubernetes` package, a fifth of a second of the start. Everybody else uses a kubeconfig.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import urllib3

from controller_runtime.client.rest import RestClient
from controller_runtime.client.transport import Transport

POOL_SIZE = 32
WATCH_POOL_SIZE = 64


class TokenEndpoint:
    """Implements `controller_runtime.client.transport.Endpoint` with a token that never changes."""

    def __init__(self, host: str, ca_file: Path, token: str) -> None:
        self.host = host
        self._token = token
        context = ssl.create_default_context(cafile=str(ca_file))
        self._requests, self._watches = (
            urllib3.PoolManager(maxsize=size, ssl_context=context, retries=False)
            for size in (POOL_SIZE, WATCH_POOL_SIZE)
        )

    def pool(self, *, streaming: bool) -> urllib3.PoolManager:
        return self._watches if streaming else self._requests

    def authorization(self) -> str | None:
        return f"Bearer {self._token}"

    def refresh(self, refused: str | None) -> bool:
        return False


def token_client(host: str, ca_file: Path, token: str, user_agent: str) -> RestClient:
    """A client of the API server at `host`."""
    return RestClient(Transport(TokenEndpoint(host, ca_file, token), user_agent=user_agent))
