"""Handlers: what they are told, in which order, and how they cannot hurt each other. No network: events are fed by hand."""

import threading

import pytest
import structlog

from controller_runtime.cache.informer import Informer
from controller_runtime.cache.mutation import DETECT_VARIABLE, copy_object
from controller_runtime.client.api import ObjectList
from controller_runtime.errors import ServiceUnavailable
from controller_runtime.resources import PODS
from test.support.fake_clock import FakeClock
from test.support.processes import wait_until


class HandFed:
    """A `KubeClient` whose one watch is fed by the test."""

    def __init__(self, *initial) -> None:
        self.initial = list(initial)
        self.requests = 0
        self.refusing = False
        self._batches: list = []
        self._changed = threading.Condition()
        self._stopped = False

    def list(self, *_, transform=None, **__):
        self.requests += 1
        if self.refusing:
            raise ServiceUnavailable("scripted")
        return ObjectList([transform(o) for o in self.initial], "100")

    def watch(self, *_, **__):
        self.requests += 1
        return self

    def feed(self, *events) -> None:
        with self._changed:
            self._batches.append(events)
            self._changed.notify()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def expect_frame_within(self, seconds):
        pass

    def batches(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._batches or self._stopped)
                if self._stopped:
                    return
                batch = self._batches.pop(0)
            yield batch

    def stop(self):
        with self._changed:
            self._stopped = True
            self._changed.notify()


class Recorder:
    def __init__(self, on_event=None) -> None:
        self.told = []
        self._on_event = on_event or (lambda told: None)

    def _note(self, *what):
        self.told.append(what)
        self._on_event(what)

    def on_add(self, obj, is_initial):
        self._note("add", obj["metadata"]["name"], is_initial)

    def on_update(self, old, new):
        self._note("update", old["metadata"]["resourceVersion"], new["metadata"]["resourceVersion"])

    def on_delete(self, obj, final_state_unknown):
        self._note("delete", obj["metadata"]["name"], final_state_unknown)


def pod(name, version, uid="", **labels):
    metadata = {"name": name, "uid": uid or name, "resourceVersion": str(version), "labels": labels}
    return {"kind": "Pod", "metadata": metadata}


@pytest.fixture
def run():
    running = []

    def start(client, *handlers, **options):
        informer = Informer(client, PODS, **options)
        registrations = [informer.add_handler(handler) for handler in handlers]
        informer.start()
        running.append(informer)
        wait_until(lambda: informer.has_synced or client.refusing, 10)
        return informer, registrations

    yield start
    for informer in running:
        assert informer.stop(10)


def test_a_handler_that_looks_into_the_cache_sees_at_least_its_event(run):
    seen = []
    client = HandFed()
    informer = Informer(client, PODS)
    informer.add_handler(Recorder(lambda what: seen.append(informer.get("a")["metadata"]["resourceVersion"])))
    informer.start()
    client.feed(("ADDED", pod("a", 101)), ("MODIFIED", pod("a", 102)))
    wait_until(lambda: len(seen) == 2, 10)
    assert int(seen[0]) >= 101
    assert seen[1] == "102"
    assert informer.stop(10)


def test_a_new_uid_under_an_old_name_is_a_delete_and_an_add(run):
    client, recorder = HandFed(pod("a", 50, uid="first")), Recorder()
    run(client, recorder)
    client.feed(("MODIFIED", pod("a", 101, uid="second")))
    wait_until(lambda: len(recorder.told) == 3, 10)
    assert recorder.told[1:] == [("delete", "a", True), ("add", "a", False)]


def test_a_deletion_carries_the_last_state_and_is_certain(run):
    client, recorder = HandFed(pod("a", 50)), Recorder()
    run(client, recorder)
    client.feed(("DELETED", pod("a", 101)))
    wait_until(lambda: recorder.told[1:] == [("delete", "a", False)], 10)


def test_a_handler_that_joins_late_gets_the_cache_and_then_every_change(run):
    client, early, late = HandFed(pod("a", 50)), Recorder(), Recorder()
    informer, _ = run(client, early)
    client.feed(("ADDED", pod("b", 101)))
    wait_until(lambda: informer.get("b"), 10)
    registration = informer.add_handler(late)
    client.feed(("MODIFIED", pod("b", 102)))
    wait_until(lambda: len(late.told) == 3, 10)
    assert late.told == [("add", "a", True), ("add", "b", True), ("update", "101", "102")]
    assert registration.has_synced


def test_handlers_that_join_under_fire_miss_nothing_and_get_nothing_twice(run):
    client = HandFed()
    informer, _ = run(client)
    late = []
    for number in range(200):
        client.feed(("ADDED", pod(f"p{number}", 101 + number)))
        if number % 20 == 0:
            late.append(Recorder())
            informer.add_handler(late[-1])
    for recorder in late:
        wait_until(lambda r=recorder: len(r.told) == 200, 10)
        assert sorted(told[1] for told in recorder.told) == sorted(f"p{n}" for n in range(200))


def test_a_failing_handler_is_logged_counted_and_told_of_the_next_event(run):
    def fail(what):
        raise SystemExit("not in my house") if what[1] == "a" else ValueError("nor this")

    client, failing, other = HandFed(), Recorder(fail), Recorder()
    informer, _ = run(client, failing, other)
    with structlog.testing.capture_logs() as logs:
        client.feed(("ADDED", pod("a", 101)), ("ADDED", pod("b", 102)), ("ADDED", pod("c", 103)))
        wait_until(lambda: len(failing.told) == 3 and len(other.told) == 3, 10)
        wait_until(lambda: informer.handler_failures == 3, 10)
    assert sum("an event handler failed" in line["event"] for line in logs) == 3


def test_a_slow_handler_delays_nobody_and_its_buffer_is_coalesced_to_the_newest_states(run):
    release = threading.Event()
    client, fast = HandFed(), Recorder()
    slow = Recorder(lambda what: release.wait(20))
    informer, (slow_registration, _) = run(client, slow, fast)
    for version in range(101, 5101):
        client.feed(("MODIFIED", pod(f"p{version % 5}", version)))
    wait_until(lambda: fast.told and fast.told[-1][-1] == "5100", 30)
    assert slow_registration.pending <= 1024 + 300
    release.set()
    wait_until(lambda: slow_registration.pending == 0, 10)
    newest = {informer.get(f"p{n}")["metadata"]["resourceVersion"] for n in range(5)}
    wait_until(lambda: newest <= {told[-1] for told in slow.told}, 10)
    assert len(slow.told) < 5000
    assert informer.coalesced_updates > 0
    for recorder in (slow, fast):
        for number in range(5):
            versions = [int(told[-1]) for told in recorder.told if told[0] == "update" and int(told[-1]) % 5 == number]
            assert versions == sorted(versions), "each object's states come in order"


def test_coalescing_never_merges_across_a_delete_or_another_uid():
    from controller_runtime.cache.dispatcher import coalesce

    a1, a2, a3 = pod("a", 1, uid="x"), pod("a", 2, uid="x"), pod("a", 3, uid="x")
    b1, b2 = pod("a", 5, uid="y"), pod("a", 6, uid="y")
    pending = [
        (None, a1, True),
        None,
        (a1, a2, False),
        (a2, a3, False),
        (a3, None, False),
        (None, b1, False),
        (b1, b2, False),
    ]
    assert list(coalesce(pending)) == [(None, a3, True), None, (a3, None, False), (None, b2, False)]


def test_a_resync_repeats_the_cache_to_that_handler_only_and_asks_the_server_nothing(run):
    clock, client, plain, resyncing = FakeClock(), HandFed(pod("a", 50)), Recorder(), Recorder()
    informer, _ = run(client, plain, clock=clock)
    informer.add_handler(resyncing, resync_period_s=2)
    wait_until(lambda: len(plain.told) == 1 and len(resyncing.told) == 1, 10)
    before = client.requests
    clock.wait_for_waiters(1)
    clock.advance(2)
    wait_until(lambda: resyncing.told[1:] == [("update", "50", "50")], 10)
    assert plain.told == [("add", "a", True)]
    assert client.requests == before


def test_a_registration_is_synced_only_after_its_initial_adds_were_delivered(run):
    release = threading.Event()
    informer, (registration,) = run(HandFed(pod("a", 50)), Recorder(lambda what: release.wait(20)))
    assert informer.has_synced
    assert not registration.has_synced
    release.set()
    wait_until(lambda: registration.has_synced, 10)


def test_a_removed_handler_hears_no_more_and_may_be_removed_again(run):
    client, removed, other = HandFed(), Recorder(), Recorder()
    _, (registration, _) = run(client, removed, other)
    registration.remove()
    registration.remove()
    client.feed(("ADDED", pod("a", 101)))
    wait_until(lambda: len(other.told) == 1, 10)
    assert removed.told == []


def test_a_stopped_informer_takes_no_handlers_leaves_no_threads_and_can_be_stopped_again():
    before = set(threading.enumerate())
    informer = Informer(HandFed(), PODS)
    informer.add_handler(Recorder())
    informer.start()
    informer.start()
    wait_until(lambda: informer.has_synced, 10)
    assert informer.stop(10)
    assert informer.stop(10)
    assert set(threading.enumerate()) <= before
    with pytest.raises(RuntimeError, match="has stopped"):
        informer.add_handler(Recorder())


def test_waiting_for_sync_ends_when_the_informer_is_stopped():
    client = HandFed()
    client.refusing = True
    informer = Informer(client, PODS)
    informer.start()
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(informer.wait_for_sync(60)))
    waiter.start()
    assert informer.stop(10)
    waiter.join(5)
    assert answers == [False]
    assert not informer.has_synced


def test_writes_of_ones_own_can_be_waited_for_by_their_resource_version(run):
    client = HandFed()
    informer, _ = run(client)
    assert informer.has_seen("100")
    assert not informer.has_seen("150")
    client.feed(("BOOKMARK", {"metadata": {"resourceVersion": "150"}}))
    wait_until(lambda: informer.has_seen("150"), 10)
    assert not informer.has_seen("not-a-number")


def test_indices_follow_changes_and_can_be_added_later(run):
    client = HandFed(pod("a", 50, app="x"), pod("b", 51, app="y"))
    informer, _ = run(client, indexers={"app": lambda obj: [obj["metadata"]["labels"]["app"]]})
    client.feed(("MODIFIED", pod("a", 101, app="y")))
    wait_until(lambda: len(informer.by_index("app", "y")) == 2, 10)
    assert informer.by_index("app", "x") == []
    assert informer.index_values("app") == ["y"]
    informer.add_indexer("name", lambda obj: [obj["metadata"]["name"]])
    assert [o["metadata"]["name"] for o in informer.by_index("name", "b")] == ["b"]
    with pytest.raises(ValueError, match="already has another index"):
        informer.add_indexer("name", lambda obj: [])
    with pytest.raises(ValueError, match="has no index 'nope'"):
        informer.by_index("nope", "x")


def test_an_index_function_that_fails_leaves_out_its_object_and_nothing_else(run):
    client = HandFed(pod("a", 50), pod("b", 51, app="y"))
    informer, _ = run(client, indexers={"app": lambda obj: [obj["metadata"]["labels"]["app"]]})
    assert [o["metadata"]["name"] for o in informer.by_index("app", "y")] == ["b"]
    assert len(informer.list()) == 2


def test_a_transform_runs_once_per_object_and_a_failing_one_keeps_the_object(run):
    def drop_labels(obj):
        if obj["metadata"]["name"] == "bad":
            raise KeyError("scripted")
        del obj["metadata"]["labels"]
        return obj

    client = HandFed(pod("a", 50), pod("bad", 51))
    informer, _ = run(client, transform=drop_labels)
    assert "labels" not in informer.get("a")["metadata"]
    assert informer.get("bad")["metadata"]["resourceVersion"] == "51"


def test_writing_into_a_cached_object_fails_at_the_line_that_writes_when_detection_is_on(run, monkeypatch):
    monkeypatch.setenv(DETECT_VARIABLE, "1")
    client = HandFed({**pod("a", 50, app="x"), "items": [{"n": 1}]})
    informer, _ = run(client)
    cached = informer.get("a")
    for write in (
        lambda: cached.update(x=1),
        lambda: cached["metadata"]["labels"].pop("app"),
        lambda: cached["items"].append(2),
        lambda: cached["items"][0].__setitem__("n", 2),
        lambda: cached.__delitem__("kind"),
    ):
        with pytest.raises(TypeError, match="copy_object"):
            write()
    own = copy_object(cached)
    own["metadata"]["labels"]["app"] = "y"
    own["items"].append(2)
    assert informer.get("a")["metadata"]["labels"] == {"app": "x"}
