"""Metric families that look as Go programs write them: the queues' own counts, and histograms with Go's spelling of bucket bounds.

prometheus_client writes `le="1.0"` where every Go program writes `le="1"`; a dashboard or recording rule made for
controller-runtime that names a bucket would find nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

MAX_PRIORITY_LABELS = 25
OVERFLOW_LABEL = "exceeded_cardinality_limit"


def go_float(value: float) -> str:
    """A number as Go's shortest format writes it: `1`, `0.25`, `1e-08`, `1.048576e+06`."""
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]  # prometheus_client left it unannotated
    return text.removesuffix(".0")


class GoHistogram(Histogram):
    """prometheus_client's histogram, with Go's spelling of the bucket bounds."""

    def collect(self) -> list[Metric]:
        families = [*super().collect()]
        for family in families:
            family.samples = [_respelled(sample) for sample in family.samples]
        return families


def _respelled(sample: Sample) -> Sample:
    if "le" not in sample.labels:
        return sample
    return sample._replace(labels={**sample.labels, "le": go_float(float(sample.labels["le"]))})


class Tally:
    """A histogram cheap enough for the hot path of the work queue, whose lock its counting needs anyway; samples are made when somebody
    scrapes. Counts per bucket (upper bounds inclusive, plus one for +Inf) and the sum. Not thread-safe: the owner locks.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """Observations at or below each bound, the last one for +Inf: what Prometheus calls buckets."""
        running = 0
        return [running := running + count for count in self.counts]

    def copy(self) -> Tally:
        twin = Tally(self.bounds)
        twin.counts = list(self.counts)
        twin.total = self.total
        return twin


@dataclass(frozen=True, slots=True)
class QueueStats:
    """What a scrape shows of a work queue. Depth counts dirty keys by priority, including those that wait for their worker to finish."""

    depth: dict[int, int]
    adds: int
    retries: int
    unfinished_s: float
    longest_running_s: float
    queue_duration: Tally
    work_duration: Tally


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


def add_histogram(family: HistogramMetricFamily, labels: list[str], histogram: Tally) -> None:
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
