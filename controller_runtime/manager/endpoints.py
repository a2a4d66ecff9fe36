"""The two HTTP servers of an operator process, probes and metrics, as its settings ask for them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from controller_runtime.client.api import KubeClient
from controller_runtime.clock import Clock
from controller_runtime.manager.certificate import ServingCertificate
from controller_runtime.manager.health import Checks, probe_handler
from controller_runtime.manager.http_server import HttpServer
from controller_runtime.manager.metrics_endpoint import AccessReviewer, metrics_handler
from controller_runtime.metrics.registry import CertificateMetrics
from controller_runtime.settings import OperatorSettings


class Endpoints:
    """`healthz` and `readyz` take checks at any time; the servers exist between `start` and `stop`."""

    def __init__(
        self, settings: OperatorSettings, registry: CollectorRegistry, review_client: KubeClient, clock: Clock
    ) -> None:
        """`review_client` asks who a scraper is; it must be able to write without leadership."""
        self.healthz, self.readyz = Checks("healthz"), Checks("readyz")
        self._settings = settings
        self._registry = registry
        self._review_client = review_client
        self._clock = clock
        self._servers: dict[str, HttpServer] = {}

    def start(self) -> None:
        """Raises FatalError when an address cannot be used; then nothing listens."""
        try:
            self._listen()
        except BaseException:
            self.stop()
            raise
        for server in self._servers.values():
            server.start()

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()
        self._servers.clear()

    def port(self, server: str) -> int:
        """Where `probes` or `metrics` listens; KeyError when that one is switched off."""
        return self._servers[server].port

    def _listen(self) -> None:
        settings = self._settings
        if settings.health_probe_bind_address != "0":
            handler = probe_handler(self.healthz, self.readyz)
            self._servers["probes"] = HttpServer("probes", settings.health_probe_bind_address, handler)
        if settings.metrics_bind_address != "0":
            guarded = settings.metrics_auth == "kubernetes"
            access = AccessReviewer(self._review_client, self._clock) if guarded else None
            self._servers["metrics"] = HttpServer(
                "metrics",
                settings.metrics_bind_address,
                metrics_handler(self._registry, access),
                certificate=self._certificate(settings.metrics_cert_dir),
            )

    def _certificate(self, directory: str | None) -> ServingCertificate | None:
        return ServingCertificate(directory, CertificateMetrics(self._registry)) if directory is not None else None
