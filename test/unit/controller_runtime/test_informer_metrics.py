from prometheus_client import CollectorRegistry, generate_latest

from controller_runtime.cache.informer import Informer
from controller_runtime.cache.informer_metrics import InformerCollector
from controller_runtime.resources import PODS
from test.support.processes import wait_until
from test.unit.controller_runtime.test_informer_handlers import HandFed, Recorder, pod


def test_a_scrape_shows_what_the_informer_went_through():
    client, recorder = HandFed(pod("a", 50)), Recorder()
    informer = Informer(client, PODS)
    informer.add_handler(recorder)
    registry = CollectorRegistry()
    registry.register(InformerCollector(lambda: [informer]))
    informer.start()
    client.feed(("ADDED", pod("b", 101)), ("MODIFIED", pod("a", 7)), ("ADDED", {"kind": "Table"}), ("WHAT", {}))
    wait_until(lambda: len(recorder.told) == 2 and informer.stats.unknown_events, 10)
    assert informer.stop(10)

    def value(name, **labels):
        return registry.get_sample_value(name, {"name": "pods", **labels})

    assert value("reflector_lists_total") == 1
    assert value("reflector_events_total") == 3
    assert value("informer_stale_events_total") == 1
    assert value("informer_malformed_objects_total") == 1
    assert value("reflector_unknown_events_total") == 1
    assert value("reflector_last_resource_version") == 101
    assert value("informer_objects") == 2
    assert value("informer_queued_items") == 0
    assert value("reflector_seconds_since_last_frame") >= 0


def test_a_registry_without_informers_can_be_scraped():
    registry = CollectorRegistry()
    registry.register(InformerCollector(list))
    assert b"reflector_lists_total" in generate_latest(registry)
