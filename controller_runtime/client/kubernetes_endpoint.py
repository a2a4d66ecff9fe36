"""Connection and credentials from the `kubernetes` package.

That package knows kubeconfigs, exec plugins, client certificates, TLS and proxies, and is used for nothing else: its models drop unknown
fields, and its transport re-sends writes. This is the only module that imports it, and it is imported when a kubeconfig is to be read
or a proxy stands between: the package needs 8 MiB and 0.1 s of CPU, which a pod does not have to pay (`in_cluster`).
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config.config_exception import ConfigException

from controller_runtime.client.connection import POOL_SIZE, WATCH_POOL_SIZE, keepalive_options, use_our_connections
from controller_runtime.client.in_cluster import TOKEN_REREAD_S, unusable
from controller_runtime.client.kubeconfig import UserEntry, user_entry
from controller_runtime.clock import SYSTEM_CLOCK, Clock
from controller_runtime.errors import FatalError


class KubernetesEndpoint:
    """Implements `transport.Endpoint`: loads the configuration, keeps its token fresh, builds the connection pools."""

    def __init__(self, kubeconfig: str | None, context: str | None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._clock = clock
        self._lock = threading.Lock()
        self._user = UserEntry()
        self._token: str | None = None
        self._loaded_at = clock.monotonic()
        self._adopt(self._load())

    @property
    def host(self) -> str:
        return self._host

    def pool(self, *, streaming: bool) -> urllib3.PoolManager:
        return self._watches if streaming else self._requests

    def authorization(self) -> str | None:
        with self._lock:
            try:
                self._keep_fresh()
            except (OSError, ConfigException, FatalError):
                # An unreadable token file (it is being replaced) is no reason to forget a token that may still be good.
                return self._token
            self._token = _token_of(self._configuration)
            return self._token

    def refresh(self, refused: str | None) -> bool:
        with self._lock:
            if self._token != refused:
                return True  # Another thread met the same 401 first and has already fetched new ones.
            try:
                fresh = self._load()
            except FatalError:
                return False
            had_certificate = bool(self._configuration.cert_file)
            changed = _token_of(fresh) != refused
            if changed or had_certificate:
                self._adopt(fresh)
            return changed or had_certificate

    def _keep_fresh(self) -> None:
        now = self._clock.monotonic()
        if self._user.token_file and now - self._loaded_at >= TOKEN_REREAD_S:
            text = Path(self._user.token_file).read_text(encoding="utf-8").strip()
            if text:
                self._configuration.api_key["BearerToken"] = f"Bearer {text}"
                self._configuration.refresh_api_key_hook = None
                self._loaded_at = now
        if self._configuration.refresh_api_key_hook is not None:
            # In a pod this re-reads the token each minute; for exec plugins it runs the plugin once the credential has expired.
            self._configuration.refresh_api_key_hook(self._configuration)

    def _load(self) -> Configuration:
        configuration = Configuration()
        configuration.retries = False
        configuration.socket_options = keepalive_options()
        if self._kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            _load_in_cluster(configuration)
        else:
            self._load_file(configuration)
        return configuration

    def _load_file(self, configuration: Configuration) -> None:
        path = self._kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        try:
            self._user = user_entry(path, self._context)
            kubernetes_config.load_kube_config(
                config_file=path, context=self._context, client_configuration=configuration, persist_config=False
            )
        except (ConfigException, OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
            raise FatalError(
                f"kubeconfig {path!r} cannot be used: {error}; point --kubeconfig (or KUBECONFIG) at a readable kubeconfig"
            ) from error
        if self._user.has_exec and not (_token_of(configuration) or configuration.cert_file):
            # The library only logs a failing plugin and would go on as the anonymous user.
            raise FatalError(
                f"kubeconfig {path!r}: its exec credential plugin gave no credential; run it by hand to see why"
            )

    def _adopt(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._host = str(configuration.host).rstrip("/")
        self._token = _token_of(configuration)
        self._loaded_at = self._clock.monotonic()
        self._requests = _build_pool(configuration, POOL_SIZE)
        self._watches = _build_pool(configuration, WATCH_POOL_SIZE)


def _load_in_cluster(configuration: Configuration) -> None:
    try:
        kubernetes_config.load_incluster_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise unusable(error) from error


def _build_pool(configuration: Configuration, size: int) -> urllib3.PoolManager:
    configuration.connection_pool_maxsize = size
    try:
        pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
        raise FatalError(f"cannot set up connections to {configuration.host}: {error}") from error
    use_our_connections(pool)
    return pool


def _token_of(configuration: Any) -> str | None:
    token = configuration.api_key.get("BearerToken")
    return str(token).strip() if token else None
