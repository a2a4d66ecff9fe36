"""Metric families that look as Go programs write them: the queues' own counts, and histograms with Go's spelling of bucket bounds.

prometheus_client writes `le="1.0"` where every Go program writes `le="1"`; a dashboard or recording rule made for
controller-runtime that names a bucket would find nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from controller_runtime.metrics.histogram import Histogram

if TYPE_CHECKING:
    from prometheus_client import Metric

    from controller_runtime.queue.workqueue import QueueStats

MAX_PRIORITY_LABELS = 25
OVERFLOW_LABEL = "exceeded_cardinality_limit"


def go_float(value: float) -> str:
    """A number as Go's shortest format writes it: `1`, `0.25`, `1e-08`, `1.048576e+06`."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # prometheus_client left it unannotated
    return text.removesuffix(".0")


class LabelledHistogram(Collector):
    """A histogram with labels; `labels(...)` gives the child to observe with, present at zero from then on."""

    def __init__(self, name: str, help_: str, label_names: Sequence[str], bounds: Sequence[float]) -> None:
        self._name = name
        self._help = help_
        self._label_names = list(label_names)
        self._bounds = bounds
        self._lock = threading.Lock()
        self._children: dict[tuple[str, ...], LockedHistogram] = {}

    def labels(self, *values: str) -> LockedHistogram:
        with self._lock:
            return self._children.setdefault(values, LockedHistogram(self._bounds))

    def describe(self) -> list[Metric]:
        return [HistogramMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._help, labels=self._label_names)
        with self._lock:
            children = list(self._children.items())
        for values, child in children:
            add_histogram(family, list(values), child.copy())
        yield family


class LockedHistogram:
    """One child of a labelled histogram."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._lock = threading.Lock()
        self._histogram = Histogram(bounds)

    def observe(self, value: float) -> None:
        with self._lock:
            self._histogram.observe(value)

    def copy(self) -> Histogram:
        with self._lock:
            return self._histogram.copy()


class WorkQueueCollector(Collector):
    """The seven `workqueue_*` metrics of every queue that was added, labelled as controller-runtime does."""

    def __init__(self) -> None:
        self._queues: dict[str, Callable[[], QueueStats]] = {}

    def add(self, name: str, stats: Callable[[], QueueStats]) -> None:
        """Show a queue under `name`; an unnamed queue has no metrics."""
        if name:
            self._queues[name] = stats

    def describe(self) -> list[Metric]:
        """Nothing: the registry must not scrape the queues merely to learn their metric names."""
        return []

    def collect(self) -> Iterator[Metric]:
        labels = ["name", "controller"]
        depth = GaugeMetricFamily("workqueue_depth", "Current depth of workqueue", labels=[*labels, "priority"])
        adds = CounterMetricFamily("workqueue_adds", "Total number of adds handled by workqueue", labels=labels)
        queued = HistogramMetricFamily(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested",
            labels=labels,
        )
        worked = HistogramMetricFamily(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            labels=labels,
        )
        unfinished = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds",
            "How many seconds of work has been done that is in progress and hasn't been observed by work_duration. "
            "Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at "
            "which this increases.",
            labels=labels,
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds",
            "How many seconds has the longest running processor for workqueue been running.",
            labels=labels,
        )
        retries = CounterMetricFamily(
            "workqueue_retries", "Total number of retries handled by workqueue", labels=labels
        )
        for name, read in sorted(self._queues.items()):
            stats, of = read(), [name, name]
            for priority, keys in _bounded_depth(stats.depth).items():
                depth.add_metric([*of, priority], keys)
            adds.add_metric(of, stats.adds)
            retries.add_metric(of, stats.retries)
            unfinished.add_metric(of, stats.unfinished_s)
            longest.add_metric(of, stats.longest_running_s)
            add_histogram(queued, of, stats.queue_duration)
            add_histogram(worked, of, stats.work_duration)
        yield from (depth, adds, queued, worked, unfinished, longest, retries)


def add_histogram(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    bounds = [go_float(bound) for bound in (*histogram.bounds, float("inf"))]
    counts = [float(count) for count in histogram.cumulative()]
    family.add_metric(labels, list(zip(bounds, counts, strict=True)), histogram.total)


def _bounded_depth(depth: dict[int, int]) -> dict[str, int]:
    """At most 25 priorities become label values; the rest is summed up under one, so that a bug cannot flood Prometheus."""
    bounded: dict[str, int] = {}
    for count, (priority, keys) in enumerate(depth.items()):
        label = str(priority) if count < MAX_PRIORITY_LABELS else OVERFLOW_LABEL
        bounded[label] = bounded.get(label, 0) + keys
    return bounded
