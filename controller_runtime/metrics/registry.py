"""Prometheus metrics under the names that controller-runtime and client-go use, so that existing dashboards and alerts fit.

Each `Registry` belongs to one manager (no module-level default: two managers in one test process must not share counts). Queue metrics are
computed at scrape time from the queues themselves. Labels only ever hold names that the program chose; no user text, no object names.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from controller_runtime.client.exchange import Exchange
from controller_runtime.metrics.families import GoHistogram, WorkQueueCollector

RECONCILE_RESULTS = ("success", "error", "requeue", "requeue_after")

# fmt: off
RECONCILE_TIME_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2, 2.5,
    3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
)
# fmt: on
REST_LATENCY_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
REST_SIZE_BUCKETS = (64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)


def new_registry(*, process: bool = True) -> CollectorRegistry:
    """An empty registry, with the process, platform and garbage-collector metrics unless a test wants none."""
    # The `_created` series double the number of time series and no Go program has them.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client left it unannotated
    registry = CollectorRegistry()
    if process:
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
    return registry


class ControllerMetrics:
    """What one registry says of all its controllers, their queues and the leader election."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.queues = WorkQueueCollector()
        registry.register(self.queues)
        name, by_controller = "controller_runtime_", ["controller"]
        self.reconcile_total = Counter(
            name + "reconcile_total",
            "Total number of reconciliations per controller",
            ["controller", "result"],
            registry=registry,
        )
        self.reconcile_errors = Counter(
            name + "reconcile_errors_total",
            "Total number of reconciliation errors per controller",
            by_controller,
            registry=registry,
        )
        self.terminal_errors = Counter(
            name + "terminal_reconcile_errors_total",
            "Total number of terminal reconciliation errors per controller",
            by_controller,
            registry=registry,
        )
        self.panics = Counter(
            name + "reconcile_panics_total",
            "Total number of reconciliation panics per controller",
            by_controller,
            registry=registry,
        )
        self.timeouts = Counter(
            name + "reconcile_timeouts_total",
            "Total number of reconciliation timeouts per controller",
            by_controller,
            registry=registry,
        )
        self.reconcile_time = GoHistogram(
            name + "reconcile_time_seconds",
            "Length of time per reconciliation per controller",
            by_controller,
            buckets=RECONCILE_TIME_BUCKETS,
            registry=registry,
        )
        self.max_concurrent = Gauge(
            name + "max_concurrent_reconciles",
            "Maximum number of concurrent reconciles per controller",
            by_controller,
            registry=registry,
        )
        self.active_workers = Gauge(
            name + "active_workers",
            "Number of currently used workers per controller",
            by_controller,
            registry=registry,
        )
        self.leader = Gauge(
            "leader_election_master_status",
            "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. "
            "'name' is the string used to identify the lease. Please make sure to group by name.",
            ["name"],
            registry=registry,
        )
        self.leader_slowpath = Counter(
            "leader_election_slowpath_total",
            "Total number of slow path exercised in renewing leader leases. "
            "'name' is the string used to identify the lease. Please make sure to group by name.",
            ["name"],
            registry=registry,
        )

    def for_controller(self, name: str, workers: int) -> BoundControllerMetrics:
        """The series of one controller, all present at zero from now on."""
        return BoundControllerMetrics(self, name, workers)


class BoundControllerMetrics:
    """The children of one controller, resolved once: looking labels up on every reconcile would cost more than counting."""

    def __init__(self, metrics: ControllerMetrics, name: str, workers: int) -> None:
        self.results = {result: metrics.reconcile_total.labels(name, result) for result in RECONCILE_RESULTS}
        self.errors = metrics.reconcile_errors.labels(name)
        self.terminal_errors = metrics.terminal_errors.labels(name)
        self.panics = metrics.panics.labels(name)
        self.timeouts = metrics.timeouts.labels(name)
        self.time = metrics.reconcile_time.labels(name)
        self.active_workers = metrics.active_workers.labels(name)
        metrics.max_concurrent.labels(name).set(workers)


class RestClientMetrics:
    """An observer for the API client: requests by code, method and host, their duration and sizes. Watches count when they open."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "rest_client_requests_total",
            "Number of HTTP requests, partitioned by status code, method, and host.",
            ["code", "method", "host"],
            registry=registry,
        )
        self._retries = Counter(
            "rest_client_request_retries_total",
            "Number of request retries, partitioned by status code, verb, and host.",
            ["code", "verb", "host"],
            registry=registry,
        )
        self._duration = _by_verb(
            registry,
            "request_duration_seconds",
            "Request latency in seconds. Broken down by verb, and host.",
            REST_LATENCY_BUCKETS,
        )
        self._request_size = _by_verb(
            registry,
            "request_size_bytes",
            "Request size in bytes. Broken down by verb and host.",
            REST_SIZE_BUCKETS,
        )
        self._response_size = _by_verb(
            registry,
            "response_size_bytes",
            "Response size in bytes. Broken down by verb and host.",
            REST_SIZE_BUCKETS,
        )

    def __call__(self, exchange: Exchange) -> None:
        verb, host = exchange.method, exchange.host
        self._requests.labels(exchange.code, verb, host).inc()
        self._duration.labels(verb, host).observe(exchange.duration_s)
        self._request_size.labels(verb, host).observe(exchange.request_bytes)
        if exchange.response_bytes is not None:
            self._response_size.labels(verb, host).observe(exchange.response_bytes)
        if exchange.retry_of:
            self._retries.labels(exchange.retry_of, verb, host).inc()


class CertificateMetrics:
    """What controller-runtime's certificate watcher counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.reads = Counter(
            "certwatcher_read_certificate_total", "Total number of certificate reads", registry=registry
        )
        self.errors = Counter(
            "certwatcher_read_certificate_errors_total", "Total number of certificate read errors", registry=registry
        )


def _by_verb(registry: CollectorRegistry, name: str, help_: str, bounds: Sequence[float]) -> GoHistogram:
    return GoHistogram("rest_client_" + name, help_, ["verb", "host"], buckets=bounds, registry=registry)
