"""What the provisioner counts: karpenter's names where they mean something here, and histograms of each phase.

No object name and no text of the cloud becomes a label value.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gpu_provisioner.api.labels import DEFAULT_PROVISIONER
from gpu_provisioner.cloud.chosen import CLOUD
from gpu_provisioner.cloud.port import CloudError, PoolNotFound

_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_PHASE_BUCKETS = (5, 15, 30, 60, 120, 180, 300, 450, 600, 900, 1800, 3600)

PHASES = ("launch", "registration", "initialization", "termination")


class ProvisionerMetrics:
    """All series of the provisioner in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._launched = _machine_counter("launched", f"Machines whose {CLOUD.pool} became ready.", registry)
        self._registered = _machine_counter("registered", "Machines whose Node joined.", registry)
        self._initialized = _machine_counter("initialized", "Machines whose Node became usable.", registry)
        self._terminated = Counter(
            "karpenter_machines_terminated",
            "Machines that this provisioner gave up, by reason of the verdict.",
            ["reason", "provisioner"],
            registry=registry,
        )
        self._nodes_created = Counter(
            "karpenter_nodes_created", "Nodes registered for a Machine.", ["provisioner"], registry=registry
        )
        self._nodes_terminated = Counter(
            "karpenter_nodes_terminated", "Nodes removed with their Machine.", ["provisioner"], registry=registry
        )
        self._launch_failures = Counter(
            "gpu_provisioner_launch_failures",
            "Times that a Machine began to show a reason why its launch does not go on.",
            ["reason"],
            registry=registry,
        )
        self._garbage = Counter(
            "gpu_provisioner_garbage_collected",
            "Things without an owner that were removed.",
            ["kind"],
            registry=registry,
        )
        self._in_the_way = Gauge(
            "gpu_provisioner_pools_not_owned",
            f"Machines whose deletion waits for {CLOUD.a_pool} that does not carry our mark and goes on costing.",
            registry=registry,
        )
        self._phase = Histogram(
            "gpu_provisioner_machine_phase_duration_seconds",
            "How long a Machine stayed in a phase, by this process's own observation.",
            ["phase"],
            buckets=_PHASE_BUCKETS,
            registry=registry,
        )
        self._call = Histogram(
            "karpenter_cloudprovider_duration_seconds",
            f"Duration of requests to {CLOUD.name}.",
            ["controller", "method", "provider"],
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self._call_errors = Counter(
            "karpenter_cloudprovider_errors",
            f"Requests to {CLOUD.name} that failed, by class of error; a missing pool is an answer and not counted.",
            ["controller", "method", "provider", "error"],
            registry=registry,
        )
        self._offer_read = Gauge(
            "gpu_provisioner_offer_read_timestamp_seconds",
            "When quotas and offered instance types were last read, as Unix time; 0: not yet.",
            registry=registry,
        )
        for phase in PHASES:
            self._phase.labels(phase)
        for counter in (
            self._launched,
            self._registered,
            self._initialized,
            self._nodes_created,
            self._nodes_terminated,
        ):
            counter.labels(DEFAULT_PROVISIONER)

    def launched(self, seconds: float) -> None:
        self._launched.labels(DEFAULT_PROVISIONER).inc()
        self._phase.labels("launch").observe(seconds)

    def registered(self, seconds: float) -> None:
        self._registered.labels(DEFAULT_PROVISIONER).inc()
        self._nodes_created.labels(DEFAULT_PROVISIONER).inc()
        self._phase.labels("registration").observe(seconds)

    def initialized(self, seconds: float) -> None:
        self._initialized.labels(DEFAULT_PROVISIONER).inc()
        self._phase.labels("initialization").observe(seconds)

    def gave_up(self, reason: str) -> None:
        self._terminated.labels(reason, DEFAULT_PROVISIONER).inc()

    def node_released(self) -> None:
        self._nodes_terminated.labels(DEFAULT_PROVISIONER).inc()

    def terminated(self, seconds: float) -> None:
        self._phase.labels("termination").observe(seconds)

    def launch_failed(self, reason: str) -> None:
        self._launch_failures.labels(reason).inc()

    def collected(self, kind: str) -> None:
        self._garbage.labels(kind).inc()

    def offer_read(self, at: float) -> None:
        self._offer_read.set(at)

    def count_pools_not_owned(self, count: Callable[[], int]) -> None:
        """Ask `count` whenever the metrics are read."""
        self._in_the_way.set_function(count)

    def cloud_call(self, method: str, seconds: float, error: CloudError | None) -> None:
        """One request to the cloud ended."""
        self._call.labels("machine", method, CLOUD.provider).observe(seconds)
        if error is not None and not isinstance(error, PoolNotFound):
            self._call_errors.labels("machine", method, CLOUD.provider, type(error).__name__).inc()


def _machine_counter(step: str, text: str, registry: CollectorRegistry) -> Counter:
    return Counter(f"karpenter_machines_{step}", text, ["provisioner"], registry=registry)
