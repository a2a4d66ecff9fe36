import threading

import pytest

from controller_runtime.client.fencing import GuardedClient, NotLeading
from controller_runtime.errors import Meaning, TooManyRequests, meaning_of
from controller_runtime.resources import CONFIG_MAPS
from test.support.memory_client import MemoryClient
from test.support.scripted_server import ScriptedServer

MAP = {"metadata": {"name": "m", "namespace": "ns"}, "data": {"a": "1"}}

WRITES = {
    "create": lambda client: client.create(CONFIG_MAPS, MAP | {"metadata": {"name": "n", "namespace": "ns"}}),
    "replace": lambda client: client.replace(CONFIG_MAPS, MAP),
    "patch": lambda client: client.patch(CONFIG_MAPS, "m", {"data": {"a": "2"}}, "ns"),
    "delete": lambda client: client.delete(CONFIG_MAPS, "m", "ns"),
    "post": lambda client: client.post("/api/v1/namespaces/ns/pods/p/eviction", {}),
}


@pytest.fixture
def inner():
    client = MemoryClient()
    client.create(CONFIG_MAPS, MAP)
    client.calls.clear()
    return client


@pytest.mark.parametrize("verb", WRITES)
def test_no_write_reaches_the_server_without_leadership(inner, verb):
    with pytest.raises(NotLeading, match=f"{verb} .* refused: this process does not hold the leader lease"):
        WRITES[verb](GuardedClient(inner, lambda: False))

    assert inner.calls == []


@pytest.mark.parametrize("verb", WRITES)
def test_every_write_passes_with_leadership(inner, verb):
    WRITES[verb](GuardedClient(inner, lambda: True))

    assert len(inner.calls) == 1
    assert inner.calls[0].startswith(verb)


def test_reads_pass_without_leadership(inner):
    client = GuardedClient(inner, lambda: False)

    assert client.get(CONFIG_MAPS, "m", "ns")["data"] == {"a": "1"}
    assert len(client.list(CONFIG_MAPS, "ns").items) == 1


def test_leadership_is_asked_before_each_write_and_not_remembered(inner):
    answers = [True, False]
    client = GuardedClient(inner, lambda: answers.pop(0))
    WRITES["patch"](client)
    with pytest.raises(NotLeading):
        WRITES["patch"](client)


def test_a_refused_write_means_that_the_process_must_stop():
    assert meaning_of(NotLeading("x")) is Meaning.FATAL


def answer_with_the_map(_request, wire):
    wire.reply(200, MAP)


@pytest.mark.parametrize("verb", WRITES)
def test_a_write_whose_lease_ran_out_while_it_waited_for_a_connection_sends_nothing(tmp_path, verb):
    answers = [True, False]
    with ScriptedServer(answer_with_the_map) as server:
        client = server.client(tmp_path)
        with pytest.raises(NotLeading):
            WRITES[verb](GuardedClient(client, lambda: answers.pop(0)))
        client.get(CONFIG_MAPS, "m", "ns")
        client.close()

    assert [request.method for request in server.requests] == ["GET"]
    assert answers == []


def test_a_write_whose_lease_ran_out_between_head_and_body_is_never_complete(tmp_path):
    answers = [True, True, False]
    with ScriptedServer(answer_with_the_map) as server:
        client = server.client(tmp_path)
        with pytest.raises(NotLeading):
            WRITES["create"](GuardedClient(client, lambda: answers.pop(0)))
        client.get(CONFIG_MAPS, "m", "ns")
        client.close()

    assert all(not request.body for request in server.requests)


def test_a_write_whose_lease_ran_out_while_it_waited_for_its_turn_sends_nothing(tmp_path):
    leading, occupied, go_on = threading.Event(), threading.Event(), threading.Event()
    leading.set()

    def script(request, wire):
        if request.path.endswith("/busy"):
            wire.status(429, "TooManyRequests")
        elif request.method == "GET":
            occupied.set()
            go_on.wait(10)
            wire.reply(200, MAP)
        else:
            wire.reply(200, MAP)

    with ScriptedServer(script) as server:
        client = server.client(tmp_path)
        for _ in range(7):  # 64 requests in flight become one.
            with pytest.raises(TooManyRequests):
                client.get(CONFIG_MAPS, "busy", "ns")
        reader = threading.Thread(target=client.get, args=(CONFIG_MAPS, "m", "ns"))
        reader.start()
        assert occupied.wait(10)
        asked, failures = threading.Semaphore(0), []

        def may_write():
            asked.release()
            return leading.is_set()

        def write():
            try:
                WRITES["patch"](GuardedClient(client, may_write))
            except NotLeading as error:
                failures.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        assert asked.acquire(timeout=10), "the first look was allowed, and the write waits for its turn"
        leading.clear()
        go_on.set()
        writer.join(10)
        reader.join(10)
        client.close()

    assert len(failures) == 1
    assert {request.method for request in server.requests} == {"GET"}


def test_the_check_of_one_write_does_not_hinder_the_next_read_of_its_thread(tmp_path):
    answers = [True, False]
    with ScriptedServer(answer_with_the_map) as server:
        client = server.client(tmp_path)
        guarded = GuardedClient(client, lambda: answers.pop(0))
        with pytest.raises(NotLeading):
            WRITES["patch"](guarded)

        assert guarded.get(CONFIG_MAPS, "m", "ns")["data"] == {"a": "1"}
        client.close()
