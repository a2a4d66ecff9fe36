"""The `reflector_*` and `informer_*` series of one process, computed from the informers' own counters when somebody scrapes.

The `reflector_*` names are those client-go exported until its interface for them was no longer called; the ones marked (ours) in the README
continue them. The label `name` is the resource, such as `machines.karpenter.sh`; there is nothing of users or objects in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller_runtime.cache.freshness import ordinal
from controller_runtime.cache.informer import Informer
from controller_runtime.clock import SYSTEM_CLOCK, Clock

Reading = Callable[[Informer], float]

COUNTERS: dict[str, tuple[str, Reading]] = {
    "reflector_lists": ("Lists that succeeded", lambda i: i.stats.lists),
    "reflector_watches": ("Watches asked for", lambda i: i.stats.watches),
    "reflector_short_watches": ("Watches that the server closed within a second", lambda i: i.stats.short_watches),
    "reflector_events": ("Watch events that changed or could have changed an object", lambda i: i.stats.events),
    "reflector_bookmarks": ("Bookmarks received", lambda i: i.stats.bookmarks),
    "reflector_unknown_events": (
        "Watch events of a type or shape that was not understood",
        lambda i: i.stats.unknown_events,
    ),
    "informer_stale_events": ("Events ignored because a newer state was already cached", lambda i: i.stale_events),
    "informer_malformed_objects": (
        "Objects ignored because they are not of the informer's type",
        lambda i: i.malformed_objects,
    ),
    "informer_handler_failures": ("Exceptions raised by event handlers", lambda i: i.handler_failures),
    "informer_squeezed_updates": ("Updates merged because a handler was slow", lambda i: i.coalesced_updates),
}

GAUGES: dict[str, tuple[str, Reading]] = {
    "reflector_items_per_list": ("Objects in the last list", lambda i: i.stats.items_in_last_list),
    "reflector_last_resource_version": (
        "The newest resourceVersion seen, its last 15 digits; 0 when it is not a number",
        lambda i: (ordinal(i.resource_version) or 0) % 10**15,
    ),
    "informer_objects": ("Objects in the cache", len),
    "informer_queued_items": ("Changes waiting for handlers", lambda i: i.queued_changes),
}


class InformerCollector(Collector):
    """Register one per registry. `informers` is asked at each scrape."""

    def __init__(self, informers: Callable[[], Iterable[Informer]], *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._informers = informers
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: without this the registry would scrape while it is being set up."""
        return ()

    def collect(self) -> Iterator[Metric]:
        informers = [*self._informers()]
        for name, (text, read) in COUNTERS.items():
            yield _fill(CounterMetricFamily(name, text, labels=["name"]), informers, read)
        for name, (text, read) in GAUGES.items():
            yield _fill(GaugeMetricFamily(name, text, labels=["name"]), informers, read)
        yield _fill(
            GaugeMetricFamily(
                "reflector_seconds_since_last_frame", "Seconds since anything came on the watch", labels=["name"]
            ),
            informers,
            self._silence_s,
        )
        yield self._by_reason(
            "reflector_watch_errors", "Lists and watches that failed", informers, lambda i: i.stats.errors
        )
        yield self._by_reason("reflector_relists", "Lists after the first one", informers, lambda i: i.stats.relists)

    def _silence_s(self, informer: Informer) -> float:
        last = informer.stats.last_frame_at
        return self._clock.monotonic() - last if last else 0.0

    @staticmethod
    def _by_reason(
        name: str, text: str, informers: list[Informer], read: Callable[[Informer], dict[str, int]]
    ) -> CounterMetricFamily:
        family = CounterMetricFamily(name, text, labels=["name", "reason"])
        totals: dict[tuple[str, str], int] = {}
        for informer in informers:
            for reason, count in [*read(informer).items()]:
                key = (str(informer.resource), reason)
                totals[key] = totals.get(key, 0) + count
        for labels, total in totals.items():
            family.add_metric([*labels], total)
        return family


def _fill(family: CounterMetricFamily | GaugeMetricFamily, informers: list[Informer], read: Reading) -> Metric:
    """One sample per resource; two informers of one resource (other selectors) are added up."""
    totals: dict[str, float] = {}
    for informer in informers:
        name = str(informer.resource)
        totals[name] = totals.get(name, 0.0) + read(informer)
    for name, total in totals.items():
        family.add_metric([name], total)
    return family
