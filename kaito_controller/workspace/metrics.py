"""What Prometheus is told: how many Workspaces are in which state, and how long each phase took.

Labels hold only names from fixed lists (phases, our reasons, the Machine contract's reasons), never names of objects. The counts by state
are taken from the cache when somebody scrapes, so they cannot drift from the truth.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from controller_runtime.conditions import get_condition
from controller_runtime.resources import Object, is_deleting
from kaito_controller.api import conditions
from kaito_controller.api.reasons import REASONS, Severity
from kaito_controller.nodeapi import APIS
from kaito_controller.workspace.state.machines import SPOT_EVICTED

PHASE_BUCKETS = (1, 5, 15, 30, 60, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600, 7200)
OTHER = "Other"

PHASES = {
    "node_ordered": "From the creation of the Workspace until its nodes are ordered.",
    "node_ready": "From the order until all nodes are Ready and show their GPUs.",
    "image_pulled": "From the creation of the workload until the containers have started.",
    "serving": "From the start of the containers until the health checks are answered.",
}
_STATES = {
    Severity.GOOD: "ready",
    Severity.WAITING: "waiting",
    Severity.TROUBLE: "trouble",
    Severity.TERMINAL: "failed",
}
_MACHINE_REASONS = frozenset({SPOT_EVICTED}).union(*(api.reasons.known for api in APIS.values()))

NAMES = {
    "kaito_workspaces": "Workspaces by phase (ready, waiting, trouble, failed, deleting, new) and reason of WorkspaceReady.",
    "kaito_workspace_phase_seconds": "Seconds that a phase took, by phase; of what was lost and came back, since the loss.",
    "kaito_machine_failures_total": "Machines and NodeClaims that failed for good or lost their spot node (SpotEvicted), by reason.",
    "kaito_ordered_nodes": "Nodes that Workspaces have ordered, until they are gone; what the limit of the cluster counts.",
    "kaito_ordered_nodes_limit": "Nodes that all Workspaces together may order (--max-nodes).",
    "kaito_node_api": "1 for the API by which new nodes are ordered, with why it was chosen; 0 for the others.",
}
"""Every metric of this program, for the documentation."""


class WorkspaceMetrics:
    """Counters and histograms; registers itself."""

    def __init__(
        self,
        registry: CollectorRegistry,
        workspaces: Callable[[], Iterable[Object]],
        node_api: Callable[[], tuple[str, str]] = lambda: ("", ""),
        ordered: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        """`node_api`: name of the API by which new nodes are ordered, "" for none, and why. `ordered`: how many there are, and may be."""
        registry.register(_StateCollector(workspaces, node_api, ordered))
        name = "kaito_workspace_phase_seconds"
        self._phase = Histogram(name, NAMES[name], ["phase"], buckets=PHASE_BUCKETS, registry=registry)
        name = "kaito_machine_failures_total"
        self._failures = Counter(name, NAMES[name], ["reason"], registry=registry)
        for phase in PHASES:
            self._phase.labels(phase)

    def phase(self, phase: str, start: datetime, end: datetime) -> None:
        """Observe a finished phase."""
        self._phase.labels(phase).observe(max(0.0, (end - start).total_seconds()))

    def machine_failed(self, reason: str) -> None:
        """Count a Machine that failed for good."""
        self._failures.labels(reason if reason in _MACHINE_REASONS else OTHER).inc()


class _StateCollector(Collector):
    def __init__(
        self,
        workspaces: Callable[[], Iterable[Object]],
        node_api: Callable[[], tuple[str, str]],
        ordered: Callable[[], tuple[int, int]],
    ) -> None:
        self._workspaces = workspaces
        self._node_api = node_api
        self._ordered = ordered

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily("kaito_workspaces", NAMES["kaito_workspaces"], labels=["phase", "reason"])
        for (phase, reason), count in sorted(Tally(map(_state, self._workspaces())).items()):
            family.add_metric([phase, reason], count)
        yield family
        for name, value in zip(("kaito_ordered_nodes", "kaito_ordered_nodes_limit"), self._ordered(), strict=True):
            yield GaugeMetricFamily(name, NAMES[name], value=value)
        chosen, why = self._node_api()
        family = GaugeMetricFamily("kaito_node_api", NAMES["kaito_node_api"], labels=["api", "why"])
        for name in APIS:
            family.add_metric([name, why if name == chosen else ""], float(name == chosen))
        yield family


def _state(workspace: Object) -> tuple[str, str]:
    stored = (workspace.get("status") or {}).get("conditions")
    kind = conditions.WORKSPACE_DELETING if is_deleting(workspace) else conditions.WORKSPACE_READY
    condition = get_condition(stored, kind)
    known = REASONS.get(str((condition or {}).get("reason")))
    if is_deleting(workspace):
        return "deleting", known.name if known else OTHER
    if condition is None:
        return "new", "None"
    return (_STATES[known.severity], known.name) if known else ("waiting", OTHER)
