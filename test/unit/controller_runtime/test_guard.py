import pytest

from controller_runtime.client.fencing import GuardedClient, NotLeading
from controller_runtime.errors import Meaning, meaning_of
from controller_runtime.resources import CONFIG_MAPS
from test.support.memory_client import MemoryClient

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
