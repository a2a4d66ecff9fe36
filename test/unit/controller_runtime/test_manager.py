"""A manager while it runs: what starts when, and what its probes and metrics say."""

import pytest

from controller_runtime.client.fencing import NotLeading
from controller_runtime.controller.controller import Controller, for_object
from controller_runtime.errors import Forbidden, ServiceUnavailable
from controller_runtime.resources import CONFIG_MAPS
from test.support.managers import Blocking, Cache, Recording, fast_election, get, managers, settings
from test.support.memory_client import MemoryClient
from test.support.processes import wait_until


@pytest.fixture
def client():
    return MemoryClient()


@pytest.fixture
def build(client):
    yield from managers(client)


def test_probes_answer_before_caches_are_synced_and_readyz_turns_true_with_the_workers(build):
    manager, cache = build(), Cache()
    controller = Controller("maps", Blocking())
    controller.watch(cache, for_object)
    manager.add_controller(controller)
    manager.start()

    assert get(manager, "/healthz") == (200, "ok")
    status, text = get(manager, "/readyz?verbose")
    assert status == 500
    assert "[-]workers failed: waiting: start-maps" in text
    cache.synced.set()
    wait_until(lambda: get(manager, "/readyz") == (200, "ok"), 10, "readiness")
    assert manager.stop() == 0


def test_metrics_are_served_with_the_controllers_series(build):
    manager = build()
    manager.add_controller(Controller("maps", Blocking(), workers=3))
    manager.start()

    status, text = get(manager, "/metrics", "metrics")

    assert status == 200
    assert 'controller_runtime_max_concurrent_reconciles{controller="maps"} 3.0' in text
    assert 'controller_runtime_reconcile_total{controller="maps",result="success"} 0.0' in text


def test_servers_can_be_switched_off(build):
    manager = build(settings(metrics_bind_address="0", health_probe_bind_address="0"))
    manager.start()

    for server in ("probes", "metrics"):
        with pytest.raises(KeyError):
            manager.port(server)


def test_metrics_with_authorisation_turn_a_request_without_token_away(build):
    manager = build(settings(metrics_auth="kubernetes"))
    manager.start()

    assert get(manager, "/metrics", "metrics")[0] == 401


def test_runnables_that_need_the_lease_start_only_with_it_and_others_at_once(build, client):
    client.before = lambda *_: (_ for _ in ()).throw(ServiceUnavailable("down", code=503))
    manager, recording = build(fast_election()), Recording()
    manager.add_runnable(recording.runnable("leader's"))
    manager.add_runnable(recording.runnable("everybody's"), needs_leader=False)
    manager.start()
    wait_until(lambda: recording.seen, 10, "the first runnable")
    assert recording.seen == ["everybody's started"]
    assert get(manager, "/readyz") == (200, "ok"), "a standby is ready"

    client.before = lambda *_: None
    wait_until(lambda: len(recording.seen) == 2, 10, "leadership")

    assert recording.seen[1] == "leader's started"
    assert manager.may_write()


def test_without_the_lease_nothing_is_written_and_with_it_writes_pass(build, client):
    manager = build(fast_election())
    config_map = {"metadata": {"name": "m", "namespace": "ns"}}
    with pytest.raises(NotLeading):
        manager.client.create(CONFIG_MAPS, config_map)
    manager.start()
    wait_until(manager.may_write, 10, "leadership")

    assert manager.client.create(CONFIG_MAPS, config_map)["metadata"]["uid"]
    manager.stop()
    with pytest.raises(NotLeading):
        manager.client.delete(CONFIG_MAPS, "m", "ns")


def test_the_same_collection_is_watched_once_whoever_asks(build):
    manager = build()
    first = manager.informer(CONFIG_MAPS, namespace="ns")
    second = manager.informer(CONFIG_MAPS, namespace="ns", indexers={"app": lambda obj: ["x"]})

    assert first is second
    assert list(first.by_index("app", "x")) == []
    assert manager.informer(CONFIG_MAPS) is not first


def test_readyz_names_a_cache_that_is_refused(build, client):
    client.before = lambda *_: (_ for _ in ()).throw(Forbidden("may not list", code=403, reason="Forbidden"))
    manager = build()
    manager.informer(CONFIG_MAPS)
    manager.start()

    wait_until(
        lambda: "[-]caches failed: configmaps: not synced" in get(manager, "/readyz?verbose")[1], 10, "the reason"
    )


def test_two_controllers_of_one_name_are_refused(build):
    manager = build()
    manager.add_controller(Controller("maps", Blocking()))
    with pytest.raises(ValueError, match="already"):
        manager.add_controller(Controller("maps", Blocking()))


@pytest.mark.parametrize(
    "late",
    [
        lambda manager: manager.start(),
        lambda manager: manager.add_runnable(Recording().runnable("x")),
        lambda manager: manager.add_controller(Controller("late", Blocking())),
        lambda manager: manager.informer(CONFIG_MAPS),
    ],
)
def test_nothing_can_be_added_once_the_manager_runs(build, late):
    manager = build()
    manager.start()
    with pytest.raises(RuntimeError, match="after the manager was started"):
        late(manager)
