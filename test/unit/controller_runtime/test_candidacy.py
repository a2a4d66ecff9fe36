"""Events on the Lease: by these people follow who leads (`kubectl describe lease`)."""

import pytest

from controller_runtime.resources import EVENTS, LEASES
from test.support.managers import fast_election, managers, run_in_thread
from test.support.memory_client import MemoryClient
from test.support.processes import wait_until


@pytest.fixture
def client():
    return MemoryClient()


@pytest.fixture
def build(client):
    yield from managers(client)


def notes(client):
    return [(event["action"], event["note"]) for event in client.list(EVENTS, "ns").items]


def test_a_new_leader_says_so_on_its_lease(build, client):
    manager = build(fast_election())
    manager.start()
    wait_until(lambda: notes(client), 10, "the event")

    (event,) = client.list(EVENTS, "ns").items
    lease = client.get(LEASES, "test", "ns")
    assert (event["type"], event["reason"]) == ("Normal", "LeaderElection")
    assert event["note"] == f"{lease['spec']['holderIdentity']} became leader"
    assert event["regarding"] == {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "namespace": "ns",
        "name": "test",
        "uid": lease["metadata"]["uid"],
    }


def test_a_leader_that_is_asked_to_stop_says_so_before_it_gives_the_lease_back(build, client):
    manager = build(fast_election())
    manager.start()
    wait_until(lambda: notes(client), 10, "leadership, and the Event about it")
    identity = client.get(LEASES, "test", "ns")["spec"]["holderIdentity"]
    manager.stop()

    assert notes(client) == [
        ("StartLeading", f"{identity} became leader"),
        ("StopLeading", f"{identity} stopped leading"),
    ]
    calls = client.calls
    last_event = max(index for index, call in enumerate(calls) if call.startswith("create events"))
    assert last_event < max(index for index, call in enumerate(calls) if call == "replace leases test")


def test_a_successor_names_the_leader_that_fell_silent(build, client):
    silent = {"holderIdentity": "the-old-one", "leaseDurationSeconds": 1}
    client.create(LEASES, {"metadata": {"name": "test", "namespace": "ns"}, "spec": silent}, "ns")
    manager = build(fast_election())
    manager.start()
    wait_until(lambda: notes(client), 10, "the takeover")

    ((action, note),) = notes(client)
    assert action == "StartLeading"
    assert note.endswith("became leader, taking over from the-old-one which fell silent")


def test_a_leader_that_lost_its_lease_writes_not_even_an_event(build, client, monkeypatch):
    manager = build(fast_election())
    thread, box = run_in_thread(manager, monkeypatch)
    wait_until(lambda: notes(client), 10, "leadership")
    client.patch(LEASES, "test", {"spec": {"holderIdentity": "thief"}}, "ns")
    thread.join(10)

    assert box == [1]
    assert [action for action, _ in notes(client)] == ["StartLeading"]
