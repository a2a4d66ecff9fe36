"""What a FaultPlan does to watches, event by event."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from hack.localcluster.apiserver.server import ApiServer
from hack.localcluster.faults import Fault, FaultKind, Rule
from test.support.raw_api import RawApi

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
Cluster = tuple[ApiServer, RawApi]


def make(api: RawApi, *names: str) -> None:
    """Create ConfigMaps."""
    for name in names:
        api.post(CONFIG_MAPS, {"metadata": {"name": name}}).expect(201)


def names(events: Iterator[dict[str, Any]], count: int) -> list[str]:
    """The names in the next events."""
    return [event["object"]["metadata"]["name"] for event in itertools.islice(events, count)]


def watching(cluster: Cluster, kind: FaultKind, on: str = "b", **fields: Any) -> Iterator[dict[str, Any]]:
    """A watch from now on, with a fault at the event of one ConfigMap."""
    server, api = cluster
    server.faults.add(Rule(Fault(kind, **fields), resource="configmaps", name=on, event="ADDED", id="rule"))
    version = api.get(CONFIG_MAPS).expect(200)["metadata"]["resourceVersion"]
    return api.watch(CONFIG_MAPS, resourceVersion=version, read_s=5)


def test_dropped_event_never_comes(cluster: Cluster) -> None:
    events = watching(cluster, FaultKind.DROP_EVENT)
    make(cluster[1], "a", "b", "c")
    assert names(events, 2) == ["a", "c"]


def test_duplicate_comes_twice(cluster: Cluster) -> None:
    events = watching(cluster, FaultKind.DUPLICATE)
    make(cluster[1], "a", "b", "c")
    assert names(events, 4) == ["a", "b", "b", "c"]


def test_reordered_event_comes_after_the_next_ones(cluster: Cluster) -> None:
    events = watching(cluster, FaultKind.REORDER, events=2)
    make(cluster[1], "a", "b", "c", "d", "e")
    assert names(events, 5) == ["a", "c", "d", "b", "e"]


def test_cut_breaks_the_connection(cluster: Cluster) -> None:
    events = watching(cluster, FaultKind.CUT)
    make(cluster[1], "a", "b")
    assert names(events, 1) == ["a"]
    with pytest.raises(urllib3.exceptions.HTTPError):
        next(events)


def test_gone_is_an_error_event_and_the_end(cluster: Cluster) -> None:
    events = watching(cluster, FaultKind.GONE)
    make(cluster[1], "a", "b", "c")
    found = list(events)
    assert [event["type"] for event in found] == ["ADDED", "ERROR"]
    assert (found[1]["object"]["code"], found[1]["object"]["reason"]) == (410, "Expired")


def test_replay_tells_the_past_again(cluster: Cluster) -> None:
    version = cluster[1].get(CONFIG_MAPS).expect(200)["metadata"]["resourceVersion"]
    events = watching(cluster, FaultKind.REPLAY_FROM, on="c", resource_version=version)
    make(cluster[1], "a", "b", "c")
    assert names(events, 5) == ["a", "b", "a", "b", "c"]


def test_held_stream_goes_on_in_order_when_the_rule_goes(cluster: Cluster) -> None:
    events = watching(cluster, FaultKind.HOLD)
    make(cluster[1], "a", "b", "c")
    assert names(events, 1) == ["a"]
    cluster[0].faults.remove("rule")
    assert names(events, 2) == ["b", "c"]


def test_silent_stream_stays_open_without_a_word(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(Rule(Fault(FaultKind.SILENT), resource="configmaps", name="b", event="ADDED"))
    version = api.get(CONFIG_MAPS).expect(200)["metadata"]["resourceVersion"]
    events = api.watch(CONFIG_MAPS, resourceVersion=version, timeoutSeconds=1)
    make(api, "a", "b", "c")
    assert [event["object"]["metadata"]["name"] for event in events] == ["a"]


def test_opening_of_a_watch_can_be_refused(cluster: Cluster) -> None:
    server, api = cluster
    server.faults.add(Rule(Fault(FaultKind.STATUS, code=410, reason="Expired"), verb="watch", resource="configmaps"))
    assert api.get(CONFIG_MAPS, watch="true").code == 410
